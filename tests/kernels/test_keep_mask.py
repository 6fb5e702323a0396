"""The byte mask against the law of its twin, independent draws at the rate."""

import pytest
import torch

from seapkg.kernels.keep_mask import keep_mask


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.6, 255 / 256])
def test_a_mask_keeps_its_share(rate):
    kept, share = keep_mask((1000, 999), rate, torch.Generator().manual_seed(0), "cpu")
    assert kept.shape == (1000, 999) and kept.dtype == torch.uint8 and kept.max() == 1
    assert share == pytest.approx(1 - rate, abs=1 / 256)
    assert kept.double().mean().item() == pytest.approx(
        share, abs=5 * (share * (1 - share) / 999_000) ** 0.5
    )


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.5, 0.6])
def test_on_average_the_share_is_the_rates(rate):
    generator, n = torch.Generator().manual_seed(0), 2000
    shares = torch.tensor(
        [keep_mask((1,), rate, generator, "cpu")[1] for _ in range(n)], dtype=torch.double
    )
    assert shares.mean().item() == pytest.approx(1 - rate, abs=5 / 512 / n**0.5)
    assert shares.unique().numel() == (1 if 256 * rate == int(256 * rate) else 2)


def test_neighbouring_decisions_of_a_mask_are_independent():
    kept, _ = keep_mask((400_000,), 0.5, torch.Generator().manual_seed(0), "cpu")
    signs = kept.double() * 2 - 1
    assert all(
        abs((signs[lag:] * signs[:-lag]).mean()) < 0.01 for lag in range(1, 9)
    )  # eight to a drawn word

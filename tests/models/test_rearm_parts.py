"""REARM's attention against its equation, its dropout, and the ties of enhanced graphs."""

import pytest
import torch
from tiny import small, tiny

from seapkg.errors import RequestError
from seapkg.graph import mean_graph
from seapkg.models.rearm_parts import DimensionAttention, enhanced_graph


def attention() -> DimensionAttention:
    torch.manual_seed(1)
    made = DimensionAttention().double()
    with torch.no_grad():
        made.shifts += torch.tensor([0.3, -0.2, 0.1])
    return made


def vectors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(7, 6, generator=generator, dtype=torch.float64) for _ in range(2)]


def test_each_coordinate_reads_the_other_vector_by_a_softmax():
    """B8, vector by vector and coordinate by coordinate."""
    layer, (x, y) = attention(), vectors()
    (w_q, w_k, w_v), (b_q, b_k, b_v) = layer.scales[:, 0], layer.shifts
    ours = layer(x, y)
    for n in range(7):
        for a in range(6):
            weights = ((w_q * x[n, a] + b_q) * (w_k * y[n] + b_k)).softmax(dim=0)
            expected = layer.out_scale[0] * (weights * (w_v * y[n] + b_v)).sum()
            torch.testing.assert_close(ours[n, a], expected)


def test_dropout_is_drawn_from_the_generator_and_keeps_the_mean():
    layer, (x, y) = attention(), vectors()
    first, again = (layer(x, y, 0.4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, layer(x, y))
    generator = torch.Generator().manual_seed(0)
    mean = sum(layer(x, y, 0.4, generator) for _ in range(2000)) / 2000
    torch.testing.assert_close(mean, layer(x, y), rtol=0, atol=0.1)


def test_a_rate_of_one_gives_zeros_without_gradient():
    layer, (x, y) = attention(), vectors()
    assert not layer(x, y, 1.0).any() and not layer(x, y, 1.0).requires_grad


@pytest.mark.parametrize("option", ["self_dropout", "cross_dropout"])
def test_a_rate_between_255_256ths_and_1_is_refused(option):
    with pytest.raises(RequestError, match=rf"{option} must be at most 255/256, or 1.*0\.999"):
        small("rearm", **{option: 0.999})
    for rate in (0.0, 255 / 256, 1.0):
        assert getattr(small("rearm", **{option: rate}), option) == rate


@pytest.mark.parametrize("side", ["user", "item"])
def test_more_neighbours_than_nodes_are_refused(side):
    dataset = tiny("image", "text")
    config = small("rearm", **{f"{side}_neighbours": 17})
    with pytest.raises(RequestError, match=f"{side}_neighbours"):
        enhanced_graph(side, dataset, config, mean_graph(torch.zeros(1, 2).long(), 12, 16))


def test_ties_at_random_change_the_graph_and_not_the_counts():
    dataset = tiny("image", "text")
    graphs = []
    for ties in ("lowest", "random", "random"):
        config = small("rearm", co_occurrence_ties=ties, user_co_weight=1.0)
        graphs.append(enhanced_graph("user", dataset, config, None).matrix().to_dense())
    lowest, random, again = graphs
    assert torch.equal(random, again) and not torch.equal(lowest, random)
    torch.testing.assert_close(lowest.sort(dim=1).values, random.sort(dim=1).values)

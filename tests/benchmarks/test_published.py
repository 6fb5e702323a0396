"""The published twin is an oracle: it has the library's losses and gradients."""

import pytest
import torch
from published import PublishedSEA
from tiny import small, tiny
from twins import to_float64

from seapkg.models import build

DATASET = tiny("image", "text", n_users=30, n_items=40)
USERS, POSITIVES, NEGATIVES = (
    torch.randint(n, (64,), generator=torch.Generator().manual_seed(n)) for n in (30, 40, 39)
)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def model_and_twin(dtype, **options):
    model = build("sea", DATASET, small("sea", formulation="released", **options), 0)
    model = to_float64(model) if dtype == torch.float64 else model
    with torch.no_grad():  # away from the special starting values
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(1)
            ).to(dtype)
    return model, PublishedSEA(model, DATASET)


def losses(steps, model, seed):
    model.begin_epoch(torch.Generator().manual_seed(seed))
    return steps.losses(USERS, POSITIVES, NEGATIVES)


@pytest.mark.parametrize("variant", ["a", "without_alignment", "without_distancing", "without_all"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_the_published_form_has_the_librarys_losses_and_gradients(dtype, variant):
    model, twin = model_and_twin(dtype, variant=variant)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    bounds = set()
    for seed in range(4):
        ours, theirs = losses(model, model, seed), losses(twin, model, seed)
        assert list(ours) == list(theirs)
        bounds.add(ours["distancing"].item() if "distancing" in ours else 1)
        ours, theirs = sum(ours.values()), sum(theirs.values())
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCES[dtype], atol=0)
        options = {"allow_unused": True, "materialize_grads": True}
        pairs = zip(
            *(torch.autograd.grad(loss, trained, **options) for loss in (ours, theirs)), strict=True
        )
        for mine, oracle in pairs:
            assert (mine - oracle).norm() <= TOLERANCES[dtype] * oracle.norm().clamp(min=1e-3)
    assert any(bounds)  # the clamp let some through


def test_variants_that_were_not_published_are_refused():
    with pytest.raises(ValueError, match="no twin"):
        model_and_twin(torch.float32, variant="b")


def test_the_published_fit_of_club_ends_where_the_librarys_ends():
    (ours, _), (model, twin) = (model_and_twin(torch.float64, variant="a") for _ in range(2))
    losses(ours, ours, 0), losses(twin, model, 0)
    before = [parameter.clone() for parameter in ours.separation.conditionals.parameters()]
    for _ in range(2):
        ours.fit_auxiliary(), twin.fit_auxiliary()
    pairs = zip(
        ours.separation.conditionals.parameters(),
        model.separation.conditionals.parameters(),
        strict=True,
    )
    for old, (mine, theirs) in zip(before, pairs, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
        assert not torch.equal(mine, old)

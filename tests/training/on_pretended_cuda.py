"""All systems train on a pretended GPU: every tensor that they make is on the model's device.

test_pretended_cuda.py runs these tests in a process of their own.
"""

from contextlib import nullcontext

import pytest
import torch
from pretended_cuda import DEVICE, pretended_cuda
from published import PublishedSEA
from tiny import small, tiny

from seapkg.models import Recommender, build, find, systems
from seapkg.seeds import generator
from seapkg.training import TrainingConfig, evaluate, fit
from seapkg.training.checkpoint import Checkpoint

DATASET = tiny("image", "text", n_items=30)
SEPARATED = {"alignment": "info_nce", "distancing": "club"}
CASES = {name: (name, {}) for name in systems()} | {
    "sea, released": ("sea", {"formulation": "released"}),
    "rearm, released": ("rearm", {"formulation": "released"}),
    "vbpr + sea": ("vbpr", SEPARATED),
    "freedom + sea": ("freedom", SEPARATED),
}


#: Their dropout draws from another source on a GPU.
DRAW_OTHERWISE = {"bm3", "mmssl", "lgmrec", "rearm", "rearm, released"}


def trained(name, options, checkpoint=None, epochs=1):
    model = build(name, DATASET, small(name, **options), 0)
    is_fitted = find(name).model.training_defaults.get("max_epochs") == 0
    n_epochs = 0 if is_fitted else epochs
    training = TrainingConfig(learning_rate=0.01, batch_size=40, max_epochs=n_epochs)
    return model, fit(model, DATASET, training, progress=False, checkpoint=checkpoint)


@pytest.mark.parametrize("case", CASES)
def test_it_trains_as_on_a_cpu(case):
    with pretended_cuda():
        model, there = trained(*CASES[case])
        assert {x.device for x in [*model.parameters(), *model.buffers()]} == {DEVICE}
        model.parts()
        moved = evaluate(model.cpu(), DATASET, "test").mean
    assert moved == pytest.approx(there.test, abs=1e-6)
    _, here = trained(*CASES[case])
    assert len(there.curves) == len(here.curves)
    if case not in DRAW_OTHERWISE:
        losses = [[row["loss"] for row in result.curves] for result in (there, here)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        if not losses[0]:
            assert there.test == pytest.approx(here.test)


@pytest.mark.parametrize("name", ["sea", "pamd"])
def test_a_killed_training_resumes(name, tmp_path):
    def checkpoint():
        return Checkpoint(tmp_path / "state.npz", name, every=0)

    with pretended_cuda():
        _, whole = trained(name, {}, epochs=2)
        trained(name, {}, checkpoint())
        _, resumed = trained(name, {}, checkpoint(), epochs=2)
    assert resumed.test == whole.test
    assert [row["loss"] for row in resumed.curves] == [row["loss"] for row in whole.curves]


def test_the_published_form_of_the_benchmarks_runs():
    with pretended_cuda():
        model = build("sea", DATASET, small("sea", formulation="released"), 0).to(DEVICE)
        model.begin_epoch(generator(0, "model", DEVICE))
        twin = PublishedSEA(model, DATASET)
        batch = torch.tensor([[0, 3, 7], [1, 4, 9], [5, 6, 3]], device=DEVICE)
        total = sum(twin.losses(*batch).values())
        total.backward()
        twin.fit_auxiliary()
    assert total.device == DEVICE and total.isfinite()


class Careless(Recommender):
    """Each of its mistakes is an error on a GPU."""

    config_class = find("bpr").model.config_class

    def __init__(self, mistake):
        super().__init__(DATASET, self.config_class())
        self.items = torch.nn.Parameter(torch.ones(DATASET.n_items, 2))
        self.mistake, self.loose = mistake, torch.ones(DATASET.n_items, 2)

    def losses(self, users, positives, negatives):
        x = self.items[positives]
        if self.mistake == "constant":
            x = x * torch.ones(2)
        elif self.mistake == "not a buffer":
            x = x + self.loose[positives]
        elif self.mistake == "generator":
            x = x * torch.rand(2, generator=torch.Generator(), device=x.device)
        elif self.mistake == "numpy":
            x = x + positives.numpy().sum()
        elif self.mistake == "stack":
            x = x * torch.stack([x.sum(), torch.tensor(1.0)]).sum()
        return {"bpr": x.sum()}

    def embed(self):
        return torch.ones(DATASET.n_users, 2, device=self.items.device), self.items


@pytest.mark.parametrize("mistake", ["constant", "not a buffer", "generator", "numpy", "stack", ""])
def test_mistakes_are_seen(mistake):
    with pretended_cuda():
        expected = pytest.raises((RuntimeError, TypeError)) if mistake else nullcontext()
        with expected:
            fit(Careless(mistake), DATASET, TrainingConfig(max_epochs=1), progress=False)

"""A cost is that of a training in a process of its own; the number is kept, the training is not."""

import pytest

from seapkg.data.catalogue import KNOWN
from seapkg.errors import DataNotFound, SeapkgError
from seapkg.runs.store import Store
from seapkg.studies import costs


def test_a_training_is_measured_and_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAPKG_STORE", str(tmp_path))
    measured = costs.measure("bpr", "synthetic", {"embed_dim": 4, "batch_size": 4096}, epochs=1)
    assert set(measured) > set(costs.MEASURED)
    assert measured["seconds_per_epoch"] > 0 and measured["peak_memory_mb"] > 50
    assert not list(tmp_path.iterdir())


def test_what_fails_says_why():
    with pytest.raises(SeapkgError, match="exit code 2.*embed_dimm"):
        costs.measure("bpr", "synthetic", {"embed_dimm": 4}, epochs=1)


@pytest.fixture
def counted(monkeypatch):
    """The models that were measured, each at a second per measurement so far."""
    asked = []

    def measure(model, data, options, *, epochs):
        asked.append(model)
        return {"seconds_per_epoch": float(len(asked)), "peak_memory_mb": 1.0, "device": "cpu"}

    monkeypatch.setattr(costs, "measure", measure)
    return asked


def test_a_cost_is_measured_once_and_kept(counted, tmp_path):
    trainings = {"one": ("bpr", {"embed_dim": 8}), "other": ("bpr", {"embed_dim": 16})}
    first = costs.costs(trainings, "synthetic", epochs=1, store=Store(tmp_path))
    assert costs.costs(trainings, "synthetic", epochs=1, store=Store(tmp_path)) == first
    assert [one["seconds_per_epoch"] for one in first.values()] == [1, 2] and len(counted) == 2
    elsewhere = Store(tmp_path / "another", reference=tmp_path)
    assert costs.costs(trainings, "synthetic", epochs=1, store=elsewhere) == first
    costs.costs(trainings, "synthetic", epochs=2, store=Store(tmp_path))
    costs.costs(trainings, "synthetic", epochs=1, store=Store(tmp_path), again=True)
    assert len(counted) == 6


def test_what_was_not_measured_needs_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "load_or_known", lambda name: KNOWN["baby"])
    with pytest.raises(DataNotFound, match="was not measured"):
        costs.costs({"bpr": ("bpr", {})}, "baby", epochs=1, store=Store(tmp_path))

"""A cost is that of a training in a process of its own, and nothing of it is kept."""

import pytest

from seapkg.errors import SeapkgError
from seapkg.experiments import cost


def test_a_training_is_measured_and_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAPKG_STORE", str(tmp_path))
    measured = cost.measure("bpr", "synthetic", {"embed_dim": 4, "batch_size": 4096}, epochs=1)
    assert set(measured) == set(cost.MEASURED)
    assert measured["seconds_per_epoch"] > 0 and measured["peak_memory_mb"] > 50
    assert not list(tmp_path.iterdir())


def test_what_fails_says_why():
    with pytest.raises(SeapkgError, match="exit code 2.*embed_dimm"):
        cost.measure("bpr", "synthetic", {"embed_dimm": 4}, epochs=1)

"""Recall on groups of items: by hand, measured once, and published without the model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import tiny

import seapkg
from seapkg.data import Dataset
from seapkg.data.catalogue import KNOWN
from seapkg.runs.archive import STATE
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.studies import item_groups as module
from seapkg.studies.item_groups import RAREST, UNTRAINED, item_groups, measures, rarest_third

N_ITEMS = 60


def shop():
    """Items 0 to 34 are trained, item 0 by user 0 alone; user 3 has no training pair."""
    train = [(user, item) for user in range(3) for item in range(35) if item or not user]
    valid = [(user, 58) for user in range(3)]
    test = [(0, 40), (1, 54), (1, 0), (2, 42), (2, 59), (3, 43)]
    return Dataset.from_arrays(train, valid, test, n_items=N_ITEMS)


def model(best):
    """Scores items by their place in `best`, then all others, the same for every user."""
    order = [*best, *(item for item in range(N_ITEMS) if item not in best)]
    scores = torch.empty(N_ITEMS)
    scores[order] = torch.arange(N_ITEMS, 0, -1.0)
    return SimpleNamespace(scorer=lambda: lambda users: scores.expand(len(users), -1).clone())


def test_untrained_items_are_ranked_among_themselves():
    found = measures(model(range(40)), shop())[UNTRAINED]
    # 25 untrained items in the order of their ids, 35 to 59: the first 20 end at item 54. Users 1
    # and 2 have not met item 0, which would push item 54 out.
    assert found == {"recall": pytest.approx((1 + 1 + 1 / 2) / 3), "users": 3, "ranked": 25}


def test_rare_items_are_ranked_among_all_items():
    data, sought = shop(), [40, 54, 42]
    assert set(rarest_third(data)) == set(range(35, 55))
    found = measures(model(sought), data)[RAREST]
    assert found == {"recall": 1, "users": 3, "ranked": N_ITEMS}
    after_training_items = model([*range(1, 35), *sought])  # these are masked
    assert measures(after_training_items, data)[RAREST]["recall"] == 1
    others = [item for item in range(N_ITEMS - 1, 34, -1) if item not in sought]
    assert measures(model(others), data)[RAREST]["recall"] == 0


def test_rare_items_are_those_with_the_fewest_training_pairs():
    pairs = [(user, item) for item, n in enumerate([3, 1, 2, 3, 1, 3]) for user in range(n)]
    data = Dataset.from_arrays(pairs, [(4, 0)], [(4, 1)])
    assert rarest_third(data).tolist() == [1, 4]


def test_groups_that_say_nothing_are_left_out():
    data = Dataset.from_arrays([(0, 0), (1, 1)], [(0, 1)], [(0, 2), (1, 2)], n_items=3)
    assert measures(model([]), data) == {}  # three items are ranked, and all are recalled
    trained = [(0, item) for item in range(N_ITEMS - 1)] + [(1, N_ITEMS - 1)]
    data = Dataset.from_arrays(trained, [(1, 1)], [(1, 2)])
    assert list(measures(model([]), data)) == [RAREST]
    trained = [(0, item) for item in range(30)]
    data = Dataset.from_arrays(trained, [(0, 31)], [(1, 40)], n_items=N_ITEMS)
    assert measures(model([]), data) == {}  # user 1 has no training pair


@pytest.fixture(scope="module")
def data():
    return tiny("image", n_items=70)


@pytest.fixture
def run(data, tmp_path):
    few = {"max_epochs": 1, "embed_dim": 8, "progress": False, "device": "cpu"}
    return seapkg.train("vbpr", data, store=tmp_path / "store", **few)


def test_a_run_is_measured_once_and_a_published_summary_has_the_measures(
    run, data, tmp_path, monkeypatch
):
    measured = item_groups(run, data)
    assert 0 <= measured[RAREST]["recall"] <= 1
    monkeypatch.setattr(module, "measures", lambda *_: pytest.fail("measured again"))
    assert item_groups(run, data) == measured
    Store(run.folder.parent).export([run], tmp_path / "reference")
    summary = Run(tmp_path / "reference" / run.name)
    assert not (summary.folder / STATE).exists()
    assert item_groups(summary, KNOWN["baby"]) == measured


def test_without_a_model_or_the_data_there_are_no_measures(run, data, tmp_path):
    Store(run.folder.parent).export([run], tmp_path / "reference")
    assert item_groups(Run(tmp_path / "reference" / run.name), data) == {}
    assert item_groups(run, KNOWN["baby"]) == {}


def test_the_scores_are_those_of_the_trained_model(run, data):
    users = np.unique(data.test[:, 0])
    assert item_groups(run, data)[RAREST]["users"] <= len(users)
    everything = module.recall_on(
        module.restore(run, data), data, np.arange(70), ranked=np.arange(70)
    )
    assert everything["recall"] == pytest.approx(run.test["recall@20"])

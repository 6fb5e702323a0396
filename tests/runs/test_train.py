"""Asking for a run: read where it is finished, trained where it is missing, refused where it cannot
be.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny import tiny, with_other_test

import seapkg
from seapkg.errors import RequestError
from seapkg.runs import train as training
from seapkg.runs.recommend import restore
from seapkg.runs.store import Store
from seapkg.training import fit

FEW = {"max_epochs": 2, "embed_dim": 8, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    return tiny("image", "text", item_names=tuple(f"item {number}" for number in range(16)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def run(data, store):
    return seapkg.train("bpr", data, store=store, **FEW)


def fail(*arguments, **options):
    raise AssertionError("it was trained again")


def test_a_missing_run_is_trained_and_kept(run, data, store):
    assert run.model == "bpr" and run.training["max_epochs"] == 2 and len(run.curves) == 2
    assert store.find(run.spec).test == run.test


def test_a_finished_run_is_not_trained_again(run, data, store, monkeypatch):
    monkeypatch.setattr(training, "fit", fail)
    assert seapkg.train("bpr", data, store=store, **FEW).name == run.name


def test_of_two_that_want_the_same_run_one_trains_and_the_other_waits_and_reads(
    data, tmp_path, monkeypatch, caplog
):
    planned, store, trained = (
        training.plan("bpr", data, max_epochs=2, embed_dim=8),
        Store(tmp_path),
        [],
    )

    def slow_fit(*arguments, **options):
        trained.append(options)
        time.sleep(0.5)
        return fit(*arguments, **options)

    monkeypatch.setattr(training, "fit", slow_fit)
    with ThreadPoolExecutor(2) as pool:
        runs = list(
            pool.map(
                lambda _: training.carry_out(planned, store, device="cpu", progress=False), range(2)
            )
        )
    assert len(trained) == 1 and runs[0].name == runs[1].name
    assert "another process is training" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [runs[0].name]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"max_epochs": 1}, {"embed_dim": 4}, {"precision": "fast"}]
)
def test_any_change_of_what_a_run_is_asks_for_another(run, data, change):
    here = ("progress", "device")
    options = {key: value for key, value in (FEW | change).items() if key not in here}
    assert training.plan("bpr", data, **options).spec.key != run.spec.key


def test_other_test_pairs_ask_for_another_run(run, data):
    assert (
        training.plan("bpr", with_other_test(data)).spec.key != training.plan("bpr", data).spec.key
    )


def test_a_default_said_aloud_is_the_same_run(data):
    assert (
        training.plan("bpr", data, embed_dim="64").spec.key == training.plan("bpr", data).spec.key
    )


def test_the_same_seed_trains_to_the_same_bits(run, data, tmp_path):
    again = seapkg.train("bpr", data, store=tmp_path, **FEW)
    assert again.test == run.test and again.valid == run.valid
    state, expected = again.arrays("state.npz"), run.arrays("state.npz")
    assert all(np.array_equal(state[name], expected[name]) for name in expected)


def test_offline_lists_what_is_missing_and_trains_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit", fail)
    name = training.plan("bpr", data, seed=5).spec.name
    with pytest.raises(RequestError, match=name):
        seapkg.train("bpr", data, seed=5, store=tmp_path, offline=True)


def test_offline_reads_what_is_there(run, data, store):
    assert seapkg.train("bpr", data, store=store, offline=True, **FEW).name == run.name


def test_an_interrupted_training_leaves_nothing(data, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seapkg.train("bpr", data, store=tmp_path, **FEW)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_refused(data, tmp_path):
    with pytest.raises(RequestError, match="embed_dim"):
        seapkg.train("bpr", data, store=tmp_path, embed_dims=8)


def test_a_restored_model_scores_as_the_metrics_say(run, data):
    metrics = seapkg.evaluate(restore(run, data), data, "test").mean
    assert metrics == pytest.approx(dict(run.test), rel=1e-6)


@pytest.mark.parametrize(
    "model", ["popularity", "lightgcn", "vbpr", "micro", "freedom", "rearm", "sea"]
)
def test_every_model_is_restored_as_it_was_evaluated(model, data, store):
    options = {"max_epochs": 0 if model == "popularity" else 1, "progress": False, "device": "cpu"}
    options |= {"user_neighbours": 3, "item_neighbours": 3} if model == "rearm" else {}
    one = seapkg.train(model, data, store=store, **options)
    assert seapkg.evaluate(restore(one, data), data, "test").mean == pytest.approx(
        dict(one.test), rel=1e-6
    )


def test_recommendations_are_the_best_items_outside_training(run, data):
    user = 3
    table = run.recommend(user, k=5, data=data)
    with torch.no_grad():
        scores = restore(run, data).score(torch.tensor([user]))[0]
    known = set(data.train[data.train[:, 0] == user, 1].tolist())
    expected = [item for item in scores.argsort(descending=True).tolist() if item not in known][:5]
    assert table["item"].tolist() == expected and table["rank"].tolist() == [1, 2, 3, 4, 5]
    assert table["name"].tolist() == [f"item {item}" for item in expected]
    assert table["score"].is_monotonic_decreasing


def test_no_more_is_recommended_than_there_is(run, data):
    assert (
        len(run.recommend(3, k=100, data=data)) == data.n_items - 4
    )  # each user has four in training


@pytest.mark.parametrize(("user", "k"), [(12, 10), (-1, 10), (0, 0)])
def test_an_unknown_user_and_no_items_are_refused(run, data, user, k):
    with pytest.raises(RequestError):
        run.recommend(user, k, data=data)


def test_recommending_needs_the_data_it_was_trained_on(run, data):
    with pytest.raises(RequestError, match="has changed since"):
        run.recommend(0, data=with_other_test(data))


def test_data_that_was_never_a_file_cannot_be_read_again(run):
    with pytest.raises(RequestError, match="no dataset|arrays"):
        run.recommend(0)

"""The plan of a profile names the runs that its notebooks would train, each once, and guesses no time from nothing."""

import pytest
from tiny import tiny

from experiments import fakes
from seapkg.data.sources import KNOWN
from seapkg.experiments import agenda, benchmark, folders
from seapkg.experiments.notebook_files import declared
from seapkg.experiments.store import Store
from seapkg.experiments.train import get_or_train

SMOKE = {"datasets": ["synthetic"], "seeds": [0], "max_epochs": 1}


@pytest.fixture(scope="module")
def notebooks():
    return {path.stem: path for path in folders.workplace().glob("notebooks/[0-9][0-9]_*.ipynb")}


def test_every_notebook_that_takes_seeds_says_what_it_asks_for(notebooks):
    asking = {name for name, path in notebooks.items() if "seeds" in declared(path)}
    assert asking and asking == set(agenda.ASKS)


@pytest.mark.parametrize("name", agenda.ASKS)
def test_a_notebooks_own_parameters_will_do_to_plan_it(notebooks, name):
    assert agenda.ASKS[name](**declared(notebooks[name]))


def test_a_run_that_two_notebooks_ask_for_is_planned_once(tmp_path):
    table = ("03_training", SMOKE | {"systems": ["bpr", "sea (released)"]})
    parts = ("04_ablation", SMOKE | {"system": "sea (released)"})
    todo = agenda.missing([table, parts, ("00_start_here", {})], Store(tmp_path))
    assert [len(plans) for plans in todo.values()] == [2, len(benchmark.ABLATION) - 1, 0]


def test_finished_runs_are_not_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(agenda, "load_or_known", lambda name: tiny())
    store, table = Store(tmp_path), ("03_training", SMOKE | {"systems": ["bpr", "lightgcn"]})
    first, second = agenda.missing([table], store)["03_training"]
    get_or_train(first, store, progress=False)
    assert [plan.spec for plan in agenda.missing([table], store)["03_training"]] == [second.spec]
    assert "1 run(s) to train" in agenda.report([table], store)


def test_an_estimate_is_that_of_the_runs_most_alike(tmp_path):
    (plan,) = benchmark.plans(tiny(), ["bpr"], [0], max_epochs=1, embed_dim=4)
    assert agenda.estimate(plan, []) is None
    assert (
        agenda.estimate(plan, fakes.store_of(tmp_path / "a", fakes.spec("sea", dataset=plan.spec.dataset)).list())
        is None
    )
    runs = fakes.store_of(tmp_path / "b", fakes.spec("bpr", dataset=plan.spec.dataset)).list()
    assert agenda.estimate(plan, runs) == 1.25 / 2  # it took 1.25 s for two epochs


def test_a_run_that_was_cut_off_sooner_tells_nothing(tmp_path):
    (plan,) = benchmark.plans(tiny(), ["bpr"], [0], max_epochs=100)
    runs = fakes.store_of(tmp_path, fakes.spec("bpr", dataset=plan.spec.dataset)).list()  # 2 epochs of at most 2
    assert agenda.estimate(plan, runs) is None


def test_times_are_said_in_words():
    assert [agenda._words(seconds) for seconds in (None, 61, 7199, 9000)] == [
        "time unknown", "about 2 min", "about 120 min", "about 2.5 h",
    ]  # fmt: skip
    assert agenda._in_all([]) == "" and agenda._in_all([60, None, 60]) == ", about 2 min, 1 of unknown length"


def test_runs_whose_data_is_not_here_are_counted_and_not_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(agenda, "load_or_known", KNOWN.get)
    asking = ("03_training", SMOKE | {"datasets": ["baby"], "systems": ["bpr", "lightgcn"]})
    said = agenda.report([asking], Store(tmp_path))
    assert said == "03_training: 0 run(s) to train; 2 left out, their data is not here: baby"


@pytest.mark.parametrize("name", agenda.ASKS)
def test_every_notebook_that_asks_for_runs_can_be_kept_from_training(notebooks, name):
    assert declared(notebooks[name])["offline"] is False

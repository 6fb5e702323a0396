"""The plan of a profile names the runs that its notebooks would train, each once, and guesses no time from nothing."""

import fakes
import pytest
from tiny import tiny

from seapkg.data.catalogue import KNOWN
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.runs.train import get_or_train
from seapkg.studies import definitions, plan
from seapkg.studies.notebook_files import declared

SMOKE = {"datasets": ["synthetic"], "seeds": [0], "max_epochs": 1}


@pytest.fixture(scope="module")
def notebooks():
    return {path.stem: path for path in locations.workplace().glob("notebooks/[0-9][0-9]_*.ipynb")}


def test_every_notebook_that_takes_seeds_says_what_it_asks_for(notebooks):
    asking = {name for name, path in notebooks.items() if "seeds" in declared(path)}
    assert asking and asking == set(plan.ASKS)


@pytest.mark.parametrize("name", plan.ASKS)
def test_a_notebooks_own_parameters_will_do_to_plan_it(notebooks, name):
    assert plan.ASKS[name](**declared(notebooks[name]))


def test_a_run_that_two_notebooks_ask_for_is_planned_once(tmp_path):
    table = ("04_main_table", SMOKE | {"systems": ["bpr", "sea (released)"]})
    parts = ("05_ablation", SMOKE | {"system": "sea (released)"})
    todo = plan.missing([table, parts, ("00_start_here", {})], Store(tmp_path))
    assert [len(plans) for plans in todo.values()] == [2, len(definitions.ABLATION) - 1, 0]


def test_finished_runs_are_not_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "load_or_known", lambda name: tiny())
    store, table = Store(tmp_path), ("04_main_table", SMOKE | {"systems": ["bpr", "lightgcn"]})
    first, second = plan.missing([table], store)["04_main_table"]
    get_or_train(first, store, progress=False)
    assert [plan.spec for plan in plan.missing([table], store)["04_main_table"]] == [second.spec]
    assert "1 run(s) to train" in plan.report([table], store)


def test_an_estimate_is_that_of_the_runs_most_alike(tmp_path):
    (plan,) = definitions.plans(tiny(), ["bpr"], [0], max_epochs=1, embed_dim=4)
    assert plan.estimate(plan, []) is None
    assert (
        plan.estimate(
            plan,
            fakes.store_of(tmp_path / "a", fakes.spec("sea", dataset=plan.spec.dataset)).list(),
        )
        is None
    )
    runs = fakes.store_of(tmp_path / "b", fakes.spec("bpr", dataset=plan.spec.dataset)).list()
    assert plan.estimate(plan, runs) == 1.25 / 2  # it took 1.25 s for two epochs


def test_a_run_that_was_cut_off_sooner_tells_nothing(tmp_path):
    (plan,) = definitions.plans(tiny(), ["bpr"], [0], max_epochs=100)
    runs = fakes.store_of(
        tmp_path, fakes.spec("bpr", dataset=plan.spec.dataset)
    ).list()  # 2 epochs of at most 2
    assert plan.estimate(plan, runs) is None


def test_times_are_said_in_words():
    assert [plan._words(seconds) for seconds in (None, 61, 7199, 9000)] == [
        "time unknown", "about 2 min", "about 120 min", "about 2.5 h",
    ]  # fmt: skip
    assert (
        plan._in_all([]) == ""
        and plan._in_all([60, None, 60]) == ", about 2 min, 1 of unknown length"
    )


def test_runs_whose_data_is_not_here_are_counted_and_not_planned(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "load_or_known", KNOWN.get)
    asking = ("04_main_table", SMOKE | {"datasets": ["baby"], "systems": ["bpr", "lightgcn"]})
    said = plan.report([asking], Store(tmp_path))
    assert said == "04_main_table: 0 run(s) to train; 2 left out, their data is not here: baby"


@pytest.mark.parametrize("name", plan.ASKS)
def test_every_notebook_that_asks_for_runs_can_be_kept_from_training(notebooks, name):
    assert declared(notebooks[name])["offline"] is False

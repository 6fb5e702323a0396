"""The plan of a profile names the runs that its notebooks would train, each once, and guesses no time from nothing."""

import pytest
from tiny import tiny

from experiments import fakes
from seapkg.experiments import agenda, benchmark, folders
from seapkg.experiments.notebook_files import declared
from seapkg.experiments.store import Store
from seapkg.experiments.train import ask

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
    ask(first, store, progress=False)
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


def test_times_are_said_in_words(tmp_path):
    assert "time unknown" in agenda.report([("03_training", SMOKE | {"systems": ["bpr"]})], Store(tmp_path))

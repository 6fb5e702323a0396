"""The plan of a profile names the runs that its notebooks miss, each once, and guesses no time
from nothing.
"""

import fakes
import pytest
from tiny import tiny

from seapkg.data.catalogue import KNOWN
from seapkg.runs import locations
from seapkg.runs.store import Store
from seapkg.runs.train import get_or_train
from seapkg.studies import ablation, plan, studies, studies_of
from seapkg.studies.notebook_files import declared

SMOKE = {"datasets": ["synthetic"], "seeds": [0], "max_epochs": 1}
FOLDER = locations.project_root() / "notebooks"
NOTEBOOKS = {file.stem: file for file in FOLDER.glob("[0-9][0-9]_*.ipynb")}
ASKING = [name for name in NOTEBOOKS if studies_of(name, declared(NOTEBOOKS[name]))]


def main_table(data, *systems):
    return {"04_main_table": SMOKE | {"datasets": [data], "systems": systems}}


def test_every_notebook_that_takes_seeds_has_a_study_and_every_study_a_notebook():
    assert ASKING == [name for name, file in NOTEBOOKS.items() if "seeds" in declared(file)]
    topics = {name.split("_", 1)[1] for name in NOTEBOOKS}
    assert {topic for _, topic in studies().values()} <= topics


@pytest.mark.parametrize("name", ASKING)
def test_a_notebook_can_be_planned_and_kept_from_training(name):
    parameters = declared(NOTEBOOKS[name])
    assert parameters["offline"] is False
    assert any(study.plans() for study in studies_of(name, parameters).values())


def test_a_run_that_two_notebooks_ask_for_is_reported_once(tmp_path):
    asking = main_table("synthetic", "bpr", "sea (released)")
    asking |= {"05_ablation": SMOKE | {"system": "sea (released)"}, "00_start_here": {}}
    store = Store(tmp_path)
    assert [len(plans) for plans in plan.missing(asking, store).values()] == [2, 4, 0]
    names = [line.split()[0] for line in plan.report(asking, store).splitlines()[1:-1]]
    assert names == ["04_main_table"] * 2 + ["05_ablation"] * (len(ablation.CHANGES) - 1)


def test_finished_and_failed_runs_are_not_planned(tmp_path):
    store, asking = Store(tmp_path), main_table(tiny(), "bpr", "lightgcn", "popularity")
    first, second, third = plan.missing(asking, store)["04_main_table"]
    get_or_train(first, store, progress=False)
    store.mark_failed(second.spec, "the loss went away")
    assert [one.spec for one in plan.missing(asking, store)["04_main_table"]] == [third.spec]
    assert "1 run(s) to train" in plan.report(asking, store)


def test_an_estimate_is_the_median_of_the_finished_runs_of_the_model_on_the_dataset(tmp_path):
    store = fakes.store_of(tmp_path, *(fakes.spec("bpr", seed=seed) for seed in range(3)))
    assert plan.typical_seconds(store) == {("bpr", "toy"): 1.25}
    assert plan.typical_seconds(Store(tmp_path / "empty")) == {}


def test_runs_whose_data_is_not_here_are_counted_and_not_planned(tmp_path):
    report = plan.report(main_table(KNOWN["baby"], "bpr", "lightgcn"), Store(tmp_path))
    assert report.endswith(
        "0 run(s) to train, about 0 min; 0 of unknown length, 2 without data here"
    )

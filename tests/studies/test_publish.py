"""The results table in README.md says what results/reference holds, and nothing else."""

import json
from pathlib import Path

import pytest

from seapkg.data.catalogue import KNOWN
from seapkg.errors import SeapkgError
from seapkg.runs import cache
from seapkg.runs.store import Store
from seapkg.studies.publish import (
    BEGIN,
    END,
    main_results,
    probes_of,
    real_costs,
    results_table,
    runs_of,
    runs_to_publish,
    with_table,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, reference=REPOSITORY / "results" / "reference")


def test_the_table_in_the_readme_is_that_of_the_committed_runs(store):
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert with_table(page, results_table(main_results(store))) == page


def test_the_committed_runs_are_those_that_the_studies_of_laptop_ask_for(store):
    used = runs_to_publish(store)
    committed = {
        path.parent.name for path in (REPOSITORY / "results" / "reference").glob("*/run.json")
    }
    assert committed == {run.name for run in used}
    assert {json.loads(of)["run"] for of in cache.every("probes", store)} <= committed


def test_what_smoke_asks_for_is_not_committed(store):
    assert runs_of("laptop", store) and not runs_of("smoke", store)


def test_probes_of_other_runs_are_not_exported(store, tmp_path):
    runs = runs_of("laptop", store)[:3]
    first, second, third = (json.dumps({"run": run.name}) for run in runs)
    cache.keep("probes", {of: [{"r2": 0.5}] for of in (first, second, third)}, tmp_path)
    assert set(probes_of(runs[:2], store)) == {first, second}


def test_committed_runs_hold_no_path_of_a_machine(store):
    for run in runs_of("laptop", store):
        assert "/" not in run.record["data"]["source"]


def test_the_table_stands_between_its_marks():
    assert with_table(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


def test_a_page_without_marks_is_refused():
    with pytest.raises(SeapkgError, match="marks"):
        with_table("a page", "new")


def test_costs_on_real_data_alone_are_exported(tmp_path):
    costs = {
        name: {"data": name, "seconds_per_epoch": 1.0} for name in ("baby", "synthetic", "mine")
    }
    cache.keep("costs", costs, tmp_path)
    assert real_costs(Store(tmp_path)) == {"baby": costs["baby"]}


def test_the_committed_costs_are_of_real_data():
    costs = cache.every("costs", Store(REPOSITORY / "results" / "reference"))
    assert costs and {cost["data"] for cost in costs.values()} <= set(KNOWN)

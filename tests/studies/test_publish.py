"""The table in docs/results.md says what results/reference holds, and nothing else."""

import json
from pathlib import Path

import pytest

from seapkg.data.catalogue import KNOWN
from seapkg.runs import cache
from seapkg.runs.store import Store
from seapkg.studies import claims
from seapkg.studies.publish import (
    BEGIN,
    CLAIMS,
    CLAIMS_PAGE,
    END,
    RESULTS_PAGE,
    results_of,
    results_table,
    runs_to_publish,
    with_table,
)
from seapkg.studies.tables import with_not_run

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, reference=REPOSITORY / "results" / "reference")


@pytest.fixture(scope="module")
def main_table(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("runs"), reference=REPOSITORY / "results" / "reference")
    return results_of("laptop", store)["main_table"]


def test_the_table_of_the_page_is_that_of_the_committed_runs(main_table):
    page = (REPOSITORY / RESULTS_PAGE).read_text(encoding="utf-8")
    assert with_table(page, results_table(main_table)) == page


def test_the_claims_of_the_page_are_those_that_the_command_prints(store):
    page = (REPOSITORY / CLAIMS_PAGE).read_text(encoding="utf-8")
    assert with_table(page, claims.markdown(store), *CLAIMS) == page


def test_every_cell_has_a_run_or_the_hours_it_would_take(main_table):
    table = with_not_run(main_table, metrics=["recall@20"])
    table = table[table["dataset"].isin(["baby", "lfm2k", "tiktok"])]
    gaps = table[table["verdict"] == "not run"].groupby("dataset")["model"].agg(", ".join)
    assert gaps.empty, f"add to not_measured.yaml: {gaps.to_dict()}"


def test_the_committed_runs_are_those_that_the_studies_of_laptop_ask_for(store):
    used = runs_to_publish(store)
    committed = {
        path.parent.name for path in (REPOSITORY / "results" / "reference").glob("*/run.json")
    }
    assert committed == {run.name for run in used}
    assert {json.loads(of)["run"] for of in cache.every("probes", store)} <= committed


def test_the_table_stands_between_its_marks():
    assert with_table(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


@pytest.mark.parametrize("page", ["a", f"a\n{BEGIN}\nold", f"a\n{END}"])
def test_a_page_without_its_marks_is_refused(page):
    with pytest.raises(ValueError):
        with_table(page, "new")


def test_the_committed_costs_are_of_real_data():
    costs = cache.every("costs", Store(REPOSITORY / "results" / "reference"))
    assert costs and {cost["data"] for cost in costs.values()} <= set(KNOWN)

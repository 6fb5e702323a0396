"""Publishes results: `python -m seapkg.studies.publish`.

Copies the finished runs that the studies of the profile `laptop` ask for to results/reference/,
with what was probed and measured of them, and writes README.md's table. Runs of the profile `smoke`
are left out: they are trained wherever it runs.
"""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import numpy as np

from seapkg.data.catalogue import KNOWN
from seapkg.errors import SeapkgError
from seapkg.runs import cache, locations
from seapkg.runs.archive import PARTS, PARTS_SAMPLE
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.studies import studies_of, tables
from seapkg.studies.base import Results
from seapkg.studies.notebooks import jobs
from seapkg.studies.representations import measured_in

BEGIN = "<!-- results: written by python -m seapkg.studies.publish -->"
END = "<!-- end of results -->"
METRICS = ("recall@20", "ndcg@20")


def main() -> int:
    """Exports the runs, then writes the table. Returns the exit code."""
    try:
        store, reference = Store(), locations.reference_root()
        runs = runs_to_publish(store)
        _export([run for run in runs if run.folder.parent == store.root], store)
        cache.keep("costs", real_costs(store), reference)
        cache.keep("probes", probes_of(runs, store), reference)
        page = locations.workplace() / "README.md"
        text = with_table(page.read_text(encoding="utf-8"), results_table(main_results(store)))
        page.write_text(text, encoding="utf-8")
    except SeapkgError as error:
        sys.stderr.write(f"publish: {error}\n")
        return error.exit_code
    return 0


def results_of(profile: str, store: Store) -> dict[str, Results]:
    """Study -> the finished runs that a profile's notebooks ask for."""
    return {
        name: study.runs(store, offline=True)
        for job in jobs(profile)
        for name, study in studies_of(job.name, job.all_parameters).items()
    }


def runs_of(profile: str, store: Store) -> list[Run]:
    """The finished runs of a profile, each once."""
    results = results_of(profile, store).values()
    return list({run.name: run for found in results for run in found.all_runs}.values())


def runs_to_publish(store: Store) -> list[Run]:
    """The finished runs of `laptop` that `smoke` does not train."""
    everywhere = {run.name for run in runs_of("smoke", store)}
    return [run for run in runs_of("laptop", store) if run.name not in everywhere]


def main_results(store: Store) -> Results:
    """The finished runs of the main table of `laptop`."""
    return results_of("laptop", store)["main_table"]


def real_costs(store: Store) -> dict[str, dict[str, Any]]:
    """The cached costs of trainings on real data."""
    costs = cache.every("costs", store)
    return {key: cost for key, cost in costs.items() if cost["data"] in KNOWN}


def probes_of(runs: list[Run], store: Store) -> dict[str, Any]:
    """The cached probes of these runs."""
    names = {run.name for run in runs}
    probes = cache.every("probes", store)
    return {key: rows for key, rows in probes.items() if json.loads(key)["run"] in names}


def results_table(results: Results, metrics: tuple[str, ...] = METRICS) -> str:
    """Markdown: a row a dataset and system, with the mean ± half the 95 % interval and the
    paper's number.
    """
    heads = [metric.replace("recall", "R").replace("ndcg", "N") for metric in metrics]
    columns = [name for head in heads for name in (head, f"paper, {head}")]
    lines = [["data", "system", "seeds", *columns], ["---", "---", *["---:"] * (1 + len(columns))]]
    table = tables.main_table(results, metrics=metrics)
    for (dataset, label), rows in table.groupby(["dataset", "model"], sort=False):
        cells = [cell for row in rows.to_dict("records") for cell in _cells(row)]
        lines.append([dataset, label, str(rows["seeds"].iloc[0]), *cells])
    notes = [f"- `{name}`: {KNOWN[name].provenance}." for name in results.study.data]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *notes])


def with_table(page: str, table: str) -> str:
    """The page with the table between its two marks."""
    if BEGIN not in page or END not in page:
        raise SeapkgError(f"README.md lacks the marks of the results table: {BEGIN} and {END}")
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}"


def _export(runs: list[Run], store: Store) -> None:
    for folder, run in zip(store.export(runs, locations.reference_root()), runs, strict=True):
        if measured := measured_in(run):
            for name in (PARTS, PARTS_SAMPLE):
                shutil.copyfile(measured / name, folder / name)


def _cells(row: dict[str, Any]) -> tuple[str, str]:
    half = "" if np.isnan(row["interval"]) else f" ± {_four(row['interval'])}"
    return _four(row["mean"]) + half, _four(row["paper"])


def _four(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}".removeprefix("0")


if __name__ == "__main__":
    sys.exit(main())

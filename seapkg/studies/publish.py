"""The committed results: `python -m seapkg.studies.publish` copies the finished runs that the profile laptop
asks for, what probes found in them and the costs measured on real data from the store to results/reference/, and writes
README.md's table from what is there. What the profile smoke asks for is left out: it is trained wherever it runs.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd

from seapkg.analysis.statistics import mean_interval
from seapkg.data.catalogue import KNOWN
from seapkg.errors import SeapkgError
from seapkg.runs import cache, locations
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.studies import definitions, plan
from seapkg.studies.notebooks import jobs
from seapkg.studies.paper import number, paper_numbers

BEGIN, END = (
    "<!-- results: written by python -m seapkg.studies.publish -->",
    "<!-- end of results -->",
)
SEEDS = range(10)


def main() -> int:
    """Exports the runs, then writes the table."""
    try:
        store = Store()
        found = [run for name in KNOWN for run in finished(name, store)]
        trained_everywhere = {run.name for run in drawn(store, "smoke")}
        exported = found + [
            run for run in drawn(store, "laptop") if run.name not in trained_everywhere
        ]
        store.export(
            [run for run in exported if run.folder.parent == store.root], locations.reference_root()
        )
        cache.keep("costs", real_costs(store), locations.reference_root())
        cache.keep("probes", probes_of(exported, store), locations.reference_root())
        page = locations.workplace() / "README.md"
        page.write_text(
            with_table(page.read_text(encoding="utf-8"), results_table(found)), encoding="utf-8"
        )
    except SeapkgError as error:
        sys.stderr.write(f"reference: {error}\n")
        return error.exit_code
    return 0


def finished(dataset: str, store: Store) -> list[Run]:
    """The main table's runs on a dataset, as far as they are finished."""
    return definitions.runs(KNOWN[dataset], definitions.SYSTEMS, SEEDS, store=store, offline=True)


def drawn(store: Store, profile: str) -> list[Run]:
    """The runs that a profile's notebooks ask for, as far as they are finished."""
    found = (
        store.find(plan.spec)
        for job in jobs(profile)
        for plan in plan.asked(job.name, job.all_parameters)
    )
    return [run for run in found if run is not None]


def real_costs(store: Store) -> dict[str, dict]:
    """What was measured of trainings on real data, as it is kept."""
    return {
        name: cost for name, cost in cache.every("costs", store).items() if cost["data"] in KNOWN
    }


def probes_of(runs: list[Run], store: Store) -> dict[str, Any]:
    """What probes found in the parts of these runs, as it is kept."""
    names = {run.name for run in runs}
    return {
        of: rows
        for of, rows in cache.every("probes", store).items()
        if json.loads(of)["run"] in names
    }


def results_table(runs: list[Run], metrics: tuple[str, ...] = ("recall@20", "ndcg@20")) -> str:
    """Markdown: a row a dataset and system; mean ± half the 95 % interval over seeds, and the paper's number."""
    paper = paper_numbers()
    lines = [["data", "system", "seeds", *(f"{head}{m.replace('recall', 'R').replace('ndcg', 'N')}"
                                           for m in metrics for head in ("", "paper, "))]]  # fmt: skip
    for dataset in KNOWN:
        for system in definitions.SYSTEMS:
            group = [run for run in runs if run.dataset == dataset and _is(run, system)]
            if group:
                cells = [
                    text
                    for m in metrics
                    for text in (_mean(group, m), _four(number(paper, group[0], m)))
                ]
                lines.append([dataset, system, str(len(group)), *cells])
    lines.insert(1, ["---", "---", *["---:"] * (len(lines[0]) - 2)])
    notes = [f"- `{name}`: {known.provenance}." for name, known in KNOWN.items()]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *notes])


def with_table(page: str, table: str) -> str:
    """The page with the table between its two marks."""
    if BEGIN not in page or END not in page:
        raise SeapkgError("README.md has lost the marks between which the results stand")
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}"


def _is(run: Run, system: str) -> bool:
    model, own = definitions.SYSTEMS[system]
    return run.model == model and all(run.config.get(key) == value for key, value in own.items())


def _mean(runs: list[Run], metric: str) -> str:
    interval = mean_interval([run.test[metric] for run in runs])
    return _four(interval.mean) + (
        "" if pd.isna(interval.half_width) else f" ± {_four(interval.half_width)}"
    )


def _four(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4f}".removeprefix("0")


if __name__ == "__main__":
    sys.exit(main())

"""Publishes results: `python -m seapkg.studies.publish`.

Copies the finished runs that the studies of the profile `laptop` ask for to results/reference/,
with their probes and measurements, and writes the tables of docs/results.md and
docs/claims.md. Runs of the profile `smoke` are left out: they are trained wherever it runs.
"""

from __future__ import annotations

import json
import sys

from seapkg.data.catalogue import KNOWN
from seapkg.errors import SeapkgError
from seapkg.runs import cache, locations
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.studies import claims, studies_of, tables
from seapkg.studies.base import Results
from seapkg.studies.notebooks import jobs

BEGIN = "<!-- results: written by python -m seapkg.studies.publish -->"
END = "<!-- end of results -->"
RESULTS_PAGE, CLAIMS_PAGE = "docs/results.md", "docs/claims.md"
CLAIMS = ("<!-- claims: written by python -m seapkg.studies.publish -->", "<!-- end of claims -->")


def main() -> int:
    """Exports runs, probes and measurements, then writes the table. Returns the exit code."""
    try:
        store, reference = Store(), locations.reference_root()
        runs = runs_to_publish(store)
        store.export([run for run in runs if run.folder.parent == store.root], reference)
        names = {run.name for run in runs}
        for kind, item, published in (("costs", "data", KNOWN), ("probes", "run", names)):
            cached = cache.every(kind, store).items()
            chosen = {key: value for key, value in cached if json.loads(key)[item] in published}
            cache.keep(kind, chosen, reference)
        _write(RESULTS_PAGE, results_table(results_of("laptop", store)["main_table"]))
        _write(CLAIMS_PAGE, claims.markdown(store), *CLAIMS)
    except SeapkgError as error:
        sys.stderr.write(f"publish: {error}\n")
        return error.exit_code
    return 0


def results_of(profile: str, store: Store, only: list[str] | None = None) -> dict[str, Results]:
    """Study -> the finished runs that a profile's notebooks ask for, or `only` some notebooks."""
    return {
        name: study.runs(store, offline=True)
        for job in jobs(profile, only=only)
        for name, study in studies_of(job.name, job.parameters).items()
    }


def runs_to_publish(store: Store) -> list[Run]:
    """The finished runs of `laptop` that `smoke` does not train, each once."""
    laptop, smoke = (
        {
            run.name: run
            for results in results_of(profile, store).values()
            for run in results.all_runs
        }
        for profile in ("laptop", "smoke")
    )
    return [run for name, run in laptop.items() if name not in smoke]


def results_table(results: Results) -> str:
    """Markdown: test Recall@20, one row per system, one column per dataset of the study."""
    table = tables.side_by_side(tables.with_not_run(results, metrics=["recall@20"]), "dataset")
    text = table.to_markdown(index=False, disable_numparse=True)
    notes = [f"- `{name}`: {KNOWN[name].provenance}." for name in results.study.data]
    return "\n".join([text, "", *notes])


def with_table(page: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with the table between its two marks; raises ValueError if it lacks a mark."""
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{table}\n{end}{after}"


def _write(page: str, table: str, *marks: str) -> None:
    path = locations.project_root() / page
    path.write_text(with_table(path.read_text(encoding="utf-8"), table, *marks), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""`compare`: the main table on one dataset."""

from __future__ import annotations

import dataclasses
from itertools import chain
from typing import TYPE_CHECKING

from seapkg.commands.text import add_command, print_table, say
from seapkg.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.data import Dataset


def add(commands) -> None:
    """Adds the command."""
    summary = "train several systems on your dataset and print the main table"
    shared = ("--epochs", "--store", "--workers", "--scheduler")
    option = add_command(commands, "compare", _compare, summary, *shared).add_argument
    option("--data", required=True, metavar="DIR|NAME", help="a folder or a dataset's name")
    option("--systems", metavar="A,B", help="default: all that the data allows")
    option("--seeds", type=int, default=3, metavar="N", help="how many; default: 3")
    option("--tuned", action="store_true", help="use the options of runs/tuned.yaml")


def _compare(options) -> int:
    from seapkg.data import load
    from seapkg.runs.store import Store
    from seapkg.runs.sweep import sweep
    from seapkg.studies import study

    if options.seeds < 1:
        raise RequestError(f"--seeds must be at least 1; it is {options.seeds}")
    data, store = load(options.data), Store(options.store)
    table = study(
        "main_table",
        datasets=[data],
        systems=_labels(data, options.systems),
        seeds=range(options.seeds),
        max_epochs=options.epochs,
    )
    if not options.tuned:
        table = dataclasses.replace(table, base=lambda dataset, label: {})
    sweep(table.plans(), store, workers=options.workers, scheduler=options.scheduler)
    say(f"{data.name}: {data.provenance or 'provenance unknown'}")
    results = table.runs(store, offline=True)
    if results.all_runs:
        print_table(_wide(results.table()))
    return 1 if results.lacks() else 0


def _labels(data: Dataset, names: str | None) -> list[str]:
    """The named rows, or all rows of named systems; by default all that the data allows."""
    from seapkg.models import systems

    known = systems()
    if names:
        chosen = names.split(",")
    else:
        needs = {name: system.model.needs_features for name, system in known.items()}
        chosen = [name for name in known if data.features or not needs[name]]
    labels = [known[name].labels if name in known else [name] for name in chosen]
    return list(dict.fromkeys(chain.from_iterable(labels)))  # a row named twice would count twice


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per system with its seeds and metrics, the best Recall@20 first."""
    from seapkg.studies.tables import side_by_side

    best = table[table["metric"] == "recall@20"].sort_values("mean", ascending=False)
    return best[["model", "seeds"]].merge(side_by_side(table, "metric"), on="model")

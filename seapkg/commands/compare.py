"""`compare`: the main table on one dataset."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from seapkg.commands.text import add_store, print_table, say
from seapkg.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.data import Dataset


def add(commands) -> None:
    """Adds the command."""
    compare = commands.add_parser("compare", help="the main table on a dataset of your own")
    compare.add_argument("--data", required=True, metavar="DIR|NAME", help="a folder or a name")
    compare.add_argument("--systems", metavar="A,B", help="default: all that the data allows")
    compare.add_argument("--seeds", type=int, default=3, metavar="N", help="how many; default: 3")
    compare.add_argument("--epochs", type=int, metavar="N", help="the most epochs of each run")
    compare.add_argument("--tuned", action="store_true", help="use the options of runs/tuned.yaml")
    compare.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that train; default: 1"
    )
    add_store(compare)
    compare.set_defaults(command=_compare)


def _compare(options) -> None:
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
    sweep(table.plans(), store, workers=options.workers)
    say(f"{data.name}: {data.provenance or 'nothing is known about the origin of the data'}")
    print_table(_wide(table.table(store, offline=True)))


def _labels(data: Dataset, names: str | None) -> list[str]:
    """The rows of the table: those named, by row or by system, else all that the data allows."""
    from seapkg.models import systems

    if names is None:
        known = systems().values()
        allowed = [one for one in known if data.features or not one.model.needs_features]
        return [label for system in allowed for label in system.labels]
    labels = {name: system.labels for name, system in systems().items()}
    return [label for name in names.split(",") for label in labels.get(name, [name])]


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """A row per system, best Recall@20 first; each metric as its mean ± half its 95 % interval."""
    from seapkg.runs.run import METRICS

    best = table[table["metric"] == "recall@20"].sort_values("mean", ascending=False)
    cells = [
        f"{mean:.4f}" + ("" if half != half else f" ± {half:.4f}")  # one seed has no interval
        for mean, half in zip(table["mean"], table["interval"], strict=True)
    ]
    values = table.assign(value=cells).pivot(index="model", columns="metric", values="value")
    seeds = best[["model", "seeds"]].reset_index(drop=True)
    return seeds.join(values[list(METRICS)], on="model")

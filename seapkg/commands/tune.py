"""`tune`: searches the options of a system on the validation split."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from seapkg.commands.text import add_command, print_table, say
from seapkg.commands.training import settings

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.runs.search import Trial


def add(commands) -> None:
    """Adds the command."""
    summary = "search the options of a model on the validation split"
    shared = ("--workers", "--scheduler", "--store")
    option = add_command(commands, "tune", _tune, summary, *shared).add_argument
    option("model", metavar="MODEL", help="its name; `models` lists them")
    option("--data", required=True, metavar="DIR|NAME", help="a folder or a dataset's name")
    option("--trials", type=int, default=8, metavar="N", help="default: 8")
    option("--minutes", type=float, default=5.0, metavar="N", help="of a core, for each trial")
    option("--set", nargs="+", action="extend", default=[], metavar="key=value", help="held")
    about = "also write the trials to results/reference/tuning.csv and the best to runs/tuned.yaml"
    option("--keep", action="store_true", help=about)


def _tune(options) -> None:
    from seapkg.data import load
    from seapkg.runs import tuning
    from seapkg.runs.search import Search, best, search
    from seapkg.runs.store import Store

    what = Search(options.model, load(options.data), settings(options.set), options.minutes * 60)
    team = {"workers": options.workers, "scheduler": options.scheduler}
    trials = search(what, Store(options.store), options.trials, **team)
    print_table(_table(trials))
    chosen = best(trials)
    if options.keep:
        tuning.keep(what, trials)
        say(f"kept: {what.label} on {what.data.name}")
    record = {"model": what.label, "dataset": what.data.name, "trials": len(trials)}
    print(json.dumps({**record, "valid": chosen.valid, "options": {**what.held, **chosen.options}}))


def _table(trials: list[Trial]) -> pd.DataFrame:
    """One row per trial, in their order."""
    import pandas as pd

    rows = [
        {**vars(trial), **trial.options, "seconds": round(trial.seconds, 1)} for trial in trials
    ]
    return pd.DataFrame(rows).drop(columns="options")

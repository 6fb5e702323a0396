"""The committed results of searches: every trial in tuning.csv, the best ones in tuned.yaml."""

from pathlib import Path
from typing import Any

import pandas as pd

from seapkg.files import write_text
from seapkg.runs import locations, tuned
from seapkg.runs.search import Search, Trial, best

TYPES = {"trial": "Int64", "best_epoch": "Int64"}


def trials_file() -> Path:
    """The table of all trials: dataset, model, trial, seed, options, what came of them.

    A row without a number in `trial` was tried by hand. `model` is the row of the main table.
    """
    return locations.reference_root() / "tuning.csv"


def read_trials() -> pd.DataFrame:
    """Every trial; the column `trial` is <NA> where it was tried by hand."""
    return pd.read_csv(trials_file(), dtype=TYPES)


def n_trials(table: pd.DataFrame, dataset: str, label: str) -> str:
    """How often a row of the main table was tried: "8", "8 + 5 by hand", "0".

    Args:
        table: from `read_trials`.
        dataset, label: of the row.
    """
    tried = table[(table["dataset"] == dataset) & (table["model"] == label)]["trial"]
    searched, by_hand = tried.notna().sum(), tried.isna().sum()
    return f"{searched} + {by_hand} by hand" if by_hand else str(searched)


def keep(what: Search, trials: list[Trial]) -> None:
    """Writes the trials of a search, in place of earlier ones of that row, and its best options."""
    chosen, dataset = best(trials), what.data.name
    table = read_trials()
    is_ours = (table["dataset"] == dataset) & (table["model"] == what.label)
    others = table[~(is_ours & table["trial"].notna())]
    rows = pd.DataFrame([_row(what, trial) for trial in trials])
    table = pd.concat([others, rows.astype(TYPES)])
    write_text(trials_file(), table.to_csv(index=False, lineterminator="\n"))
    if chosen.options:
        tuned.keep(locations.project_root(), dataset, what.label, _all_options(what, chosen))


def _all_options(what: Search, trial: Trial) -> dict[str, Any]:
    """The options held and those searched; the row's name says the formulation."""
    held = {name: value for name, value in what.held.items() if name != "formulation"}
    return held | trial.options


def _row(what: Search, trial: Trial) -> dict:
    options = " ".join(f"{name}={value}" for name, value in _all_options(what, trial).items())
    return {
        "dataset": what.data.name,
        "model": what.label,
        "seed": what.seed,
        "options": options,
        "best_epoch": trial.best_epoch if trial.epochs else None,
        "epochs": trial.epochs,
        "valid_recall@20": trial.valid if trial.valid is None else f"{trial.valid:.6f}",
        "trial": trial.number,
        "stopped": trial.stopped,
        "seconds": f"{trial.seconds:.1f}",
    }

"""The papers' numbers as they were published: a reference to compare with, used for nothing
else.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from seapkg.errors import RequestError
from seapkg.models.registry import find
from seapkg.runs import locations
from seapkg.runs.run import Run

#: Main results, plug-in and variants: the tables of systems. Where several have a system, the first
#: counts.
TABLES = ["2", "3", "4"]
KEY = ["dataset", "system", "metric"]
SEA_VARIANTS = {
    ("solosim", "club"): "SEA",
    ("solosim", "negative_l2"): "SEAb",
    ("info_nce", "club"): "SEAc",
    ("info_nce", "negative_l2"): "SEAd",
}


def paper_numbers(path: str | Path | None = None) -> pd.DataFrame:
    """The published metrics, with the columns dataset, system (in lower case), metric (as in a
    run) and paper.
    """
    table = _tables(path)
    table = table[table["table"].isin(TABLES)].sort_values("table", kind="stable")
    metric = table["metric"].str.replace("R@", "recall@").str.replace("N@", "ndcg@")
    table = table.assign(system=table["model"].str.lower(), metric=metric, paper=table["value"])
    return table.drop_duplicates(KEY)[[*KEY, "paper"]].reset_index(drop=True)


def paper_costs(path: str | Path | None = None) -> pd.DataFrame:
    """SEA Table 5: dataset, system (as printed), seconds (an epoch, on the authors' GPU) and
    memory_gb.
    """
    table = _tables(path)
    wide = table[table["table"] == "5"].pivot(
        index=["dataset", "model"], columns="metric", values="value"
    )
    names = {"model": "system", "time_s_per_epoch": "seconds", "memory_GB": "memory_gb"}
    table = wide.reset_index().rename(columns=names).rename_axis(columns=None)
    return table[["dataset", *names.values()]]


def paper_sizes(path: str | Path | None = None) -> dict[str, tuple[int, int, int]]:
    """SEA Table 1: dataset -> users, items and interactions."""
    table = _tables(path)
    wide = table[table["table"] == "1"].pivot(index="dataset", columns="metric", values="value")
    counts = wide[["users", "items", "interactions"]].astype(int)
    return {name: tuple(row) for name, *row in counts.itertuples()}


def training_logs(path: str | Path | None = None) -> pd.DataFrame:
    """The five published logs: dataset, model, epoch, train_seconds, train_loss, valid/...,
    test/...
    """
    return pd.read_csv(_present(path, "training_logs.csv"))


def replay(log: pd.DataFrame, patience: int, monitor: str = "valid/recall@20") -> pd.Series | None:
    """The row of one run's log whose epoch early stopping with this patience would have taken.

    Returns None where the log ends before early stopping would apply.
    """
    best = None
    for _, row in log.sort_values("epoch").iterrows():
        if best is None or row[monitor] > best[monitor]:
            best = row
        elif row["epoch"] > best["epoch"] + patience:
            return best
    return None


def published_name(run: Run) -> str | None:
    """What the paper's tables call the system that a run trained; None where they have no such
    system.
    """
    parts = tuple(_in_use(run, part) for part in ("alignment", "distancing"))
    if run.model == "sea":
        return SEA_VARIANTS.get(parts)
    name = find(run.model).paper
    if set(parts) == {"none"}:
        # FREEDOM as published has no features in its score.
        return None if run.config.get("content_in_score") else name
    return f"{name} + SEA" if parts == ("solosim", "club") else None


def number(paper: pd.DataFrame, run: Run, metric: str) -> float:
    """The value that `paper_numbers` has for the system and dataset of a run; nan where it has
    none.
    """
    key = (run.dataset, (published_name(run) or "").lower(), metric)
    return float(paper.set_index(KEY)["paper"].get(key, float("nan")))


def _tables(path: str | Path | None) -> pd.DataFrame:
    return pd.read_csv(_present(path, "paper_tables.csv"), dtype={"table": str, "value": float})


def _present(path: str | Path | None, name: str) -> Path:
    path = Path(path) if path is not None else locations.workplace() / "data" / name
    if not path.is_file():
        raise RequestError(
            f"{path} is missing: it holds published numbers and comes with the repository"
        )
    return path


def _in_use(run: Run, part: str) -> str:
    off = run.config.get(f"{part}_weight", 1) == 0
    return "none" if off else run.config.get(part, "none")

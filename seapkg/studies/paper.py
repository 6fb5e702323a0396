"""The papers' published numbers: a reference to compare with, used for nothing else."""

from pathlib import Path

import pandas as pd

DATA = Path(__file__).resolve().parents[2] / "data"
#: Main results, plug-in and variants of SEA. The first table that has a system counts.
TABLES = ["2", "3", "4"]
KEY = ["dataset", "system", "metric"]


def paper_numbers() -> pd.Series:
    """The published metrics by dataset, system (in lower case) and metric (as in a run)."""
    table = _tables()
    table = table[table["table"].isin(TABLES)].sort_values("table", kind="stable")
    metric = table["metric"].str.replace("R@", "recall@").str.replace("N@", "ndcg@")
    table = table.assign(system=table["model"].str.lower(), metric=metric)
    return table.drop_duplicates(KEY).set_index(KEY)["value"]


def paper_costs() -> pd.DataFrame:
    """SEA Table 5: dataset, system, seconds (per epoch, on the authors' GPU) and memory_gb."""
    names = {"model": "system", "time_s_per_epoch": "seconds", "memory_GB": "memory_gb"}
    wide = _wide("5", ["dataset", "model"]).reset_index().rename(columns=names)
    return wide[["dataset", *names.values()]]


def paper_sizes() -> pd.DataFrame:
    """SEA Table 1 by dataset: users, items and interactions."""
    return _wide("1", "dataset")[["users", "items", "interactions"]].astype(int)


def training_logs() -> pd.DataFrame:
    """The five published logs: dataset, model, epoch, train_seconds, train_loss, valid/...,
    test/...
    """
    return pd.read_csv(DATA / "training_logs.csv")


def replay(log: pd.DataFrame, patience: int, monitor: str = "valid/recall@20") -> pd.Series | None:
    """The row of one run's log that early stopping with this patience would have chosen.

    Returns None where the log ends before early stopping would apply.
    """
    best = None
    for _, row in log.sort_values("epoch").iterrows():
        if best is None or row[monitor] > best[monitor]:
            best = row
        elif row["epoch"] > best["epoch"] + patience:
            return best
    return None


def _wide(table: str, index: str | list[str]) -> pd.DataFrame:
    rows = _tables().query("table == @table")
    return rows.pivot(index=index, columns="metric", values="value").rename_axis(columns=None)


def _tables() -> pd.DataFrame:
    return pd.read_csv(DATA / "paper_tables.csv", dtype={"table": str, "value": float})

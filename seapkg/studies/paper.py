"""The papers' numbers, as they were published: a reference to compare with, used for nothing else."""

from pathlib import Path

import pandas as pd

from seapkg.errors import RequestError
from seapkg.runs import locations
from seapkg.runs.run import Run

FILE, LOGS = "paper_tables.csv", "training_logs.csv"
NAMES = {"bpr": "MF-BPR"}  # where a table's name is not the model's own, whatever its case
SEA_VARIANTS = {
    ("solosim", "club"): "SEA",
    ("solosim", "negative_l2"): "SEAb",
    ("info_nce", "club"): "SEAc",
    ("info_nce", "negative_l2"): "SEAd",
}
TABLES = (
    "2",
    "3",
    "4",
)  # main results, plug-in, variants; the first that knows a system is believed
COLUMNS = ["dataset", "system", "metric", "paper"]


def paper_numbers(path: str | Path | None = None) -> pd.DataFrame:
    """The published metrics: columns dataset, system (in lower case), metric (as a run calls it), paper."""
    table = _tables(path)
    table = table[table["table"].isin(TABLES)].sort_values("table", kind="stable")
    metric = table["metric"].str.replace("R@", "recall@").str.replace("N@", "ndcg@")
    table = table.assign(system=table["model"].str.lower(), metric=metric, paper=table["value"])
    return table.drop_duplicates(COLUMNS[:3])[COLUMNS].reset_index(drop=True)


def paper_costs(path: str | Path | None = None) -> pd.DataFrame:
    """Table 5: columns dataset, system (as printed), seconds (an epoch, on the authors' GPU), memory_gb."""
    table = _tables(path)
    table = (
        table[table["table"] == "5"]
        .pivot(index=["dataset", "model"], columns="metric", values="value")
        .reset_index()
    )
    named = {"model": "system", "time_s_per_epoch": "seconds", "memory_GB": "memory_gb"}
    return table.rename(columns=named).rename_axis(columns=None)[["dataset", *named.values()]]


def paper_sizes(path: str | Path | None = None) -> dict[str, tuple[int, int, int]]:
    """Table 1: dataset -> users, items, interactions."""
    table = _tables(path)
    table = table[table["table"] == "1"].pivot(index="dataset", columns="metric", values="value")
    return {
        name: (int(row["users"]), int(row["items"]), int(row["interactions"]))
        for name, row in table.iterrows()
    }


def training_logs(path: str | Path | None = None) -> pd.DataFrame:
    """The five published logs, a row an epoch: dataset, model, epoch, train_seconds, train_loss, valid/..., test/..."""
    return pd.read_csv(_present(path, LOGS))


def replay(log: pd.DataFrame, patience: int, monitor: str = "valid/recall@20") -> pd.Series | None:
    """The row of `log` (one run, by epoch) at which training with this patience would have taken its result.

    It stops at the miss beyond `patience`, as `seapkg.fit` does; None where the log ends before.
    """
    best = None
    for _, row in log.sort_values("epoch").iterrows():
        if best is None or row[monitor] > best[monitor]:
            best = row
        elif row["epoch"] > best["epoch"] + patience:
            return best
    return None


def published_name(run: Run) -> str | None:
    """What the paper's tables call the system a run trained; None where they have no such system."""
    config = run.config
    parts = tuple(_in_use(config, part) for part in ("alignment", "distancing"))
    if run.model == "sea":
        return SEA_VARIANTS.get(parts)
    name = NAMES.get(run.model, run.model)
    if set(parts) == {"none"}:
        return (
            None if config.get("content_in_score") else name
        )  # FREEDOM as published has no features in its score
    return f"{name} + SEA" if parts == ("solosim", "club") else None


def printed_name(model: str) -> str:
    """The system a model is, in the paper's tables, in lower case."""
    return NAMES.get(model, model).lower()


def number(paper: pd.DataFrame, run: Run, metric: str) -> float:
    """The paper's value of `metric` for the system and dataset of `run`; nan where it has none."""
    name = (published_name(run) or "").lower()
    rows = paper[
        (paper["dataset"] == run.dataset) & (paper["system"] == name) & (paper["metric"] == metric)
    ]
    return float(rows["paper"].iloc[0]) if len(rows) else float("nan")


def _tables(path: str | Path | None) -> pd.DataFrame:
    return pd.read_csv(_present(path, FILE), dtype={"table": str, "value": float})


def _present(path: str | Path | None, name: str) -> Path:
    path = Path(path) if path is not None else locations.workplace() / "data" / name
    if not path.is_file():
        raise RequestError(
            f"{path} is missing: it holds published numbers and comes with the repository"
        )
    return path


def _in_use(config, part: str) -> str:
    off = config.get(f"{part}_weight", 1) == 0
    return "none" if off else config.get(part, "none")

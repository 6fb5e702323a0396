"""Many runs as tidy tables: curves, values by seed, means beside the paper's numbers, and
differences.

Runs come as pairs (label, run), which is what iterating over a study's `Results` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seapkg.analysis.statistics import Interval, holm, mean_interval, paired_difference
from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.errors import RequestError
from seapkg.runs.run import METRICS, Run
from seapkg.studies.base import find_row
from seapkg.studies.paper import number, paper_numbers, paper_sizes

if TYPE_CHECKING:
    from seapkg.studies.base import Results

Labelled = Iterable[tuple[str, Run]]

BY = ["dataset", "model", "metric"]
BY_SEED = ["dataset", "model", "metric", "seed", "value", "paper", "run", "provenance"]
MAIN = ["dataset", "model", "metric", "mean", "interval", "seeds", "paper", "verdict", "data"]
SIZES = ["dataset", "users", "items", "interactions", "sparsity, %", "the paper's", "data"]
OVER = ("users", "seeds")
DIFFERENCES = [
    "dataset",
    "change",
    "mean",
    "difference",
    "low, users",
    "high, users",
    "Holm's p, users",
    "low, seeds",
    "high, seeds",
    "Holm's p, seeds",
    "by_seed",
    "seeds",
    "data",
]
#: The verdicts of `differences`, in words.
WORDS = {
    "loss": "a loss, over users and over seeds",
    "gain": "a gain, over users and over seeds",
    "not shown": "not significant after Holm's correction",
    "one seed": "one seed, which cannot tell",
}
SIGNIFICANT = ["loss", "gain"]


def curves(runs: Labelled) -> pd.DataFrame:
    """Training curves: a row a run, epoch and metric, with run, model, seed, epoch, metric and
    value.
    """
    columns = ["run", "model", "seed", "epoch", "metric", "value"]
    tables = [pd.DataFrame(columns=columns)]
    for label, run in runs:
        table = run.curves.melt("epoch", var_name="metric", value_name="value")
        tables.append(table.assign(run=run.name, model=label, seed=run.seed)[columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def by_seed(
    runs: Labelled, *, metrics: Sequence[str] = METRICS, split: str = "test"
) -> pd.DataFrame:
    """A row a run and metric, with the columns `BY_SEED`.

    Args:
        runs: pairs (label, run); the label becomes the column `model`.
        split: the paper's numbers are of the test split, and nan beside another.
    """
    paper = paper_numbers()
    rows = []
    for label, run in runs:
        for metric in metrics:
            value = getattr(run, split)[metric]
            rows.append(
                {
                    "dataset": run.dataset,
                    "model": label,
                    "metric": metric,
                    "seed": run.seed,
                    "value": np.nan if value is None else value,
                    "paper": number(paper, run, metric) if split == "test" else np.nan,
                    "run": run.name,
                    "provenance": run.provenance or "unknown",
                }
            )
    return pd.DataFrame(rows, columns=BY_SEED)


def main_table(runs: Labelled, *, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """A row a dataset, model and metric, with the columns `MAIN`.

    `interval` is the half width of the 95 % interval of the mean over seeds, nan for a single seed.
    `verdict` says where the mean lies: "within" that interval of the paper's number, "above" or
    "below" it; "one seed" cannot tell; "" where the paper has no number.

    Raises:
        RequestError: where one label has two runs of a seed, which must not be averaged.
    """
    tidy = by_seed(runs, metrics=metrics)
    twice = tidy[tidy.duplicated([*BY, "seed"])]
    if len(twice):
        names = ", ".join(twice["run"].unique())
        raise RequestError(f"one label and seed have two runs ({names}): give each its own label")
    rows = []
    for (dataset, model, metric), group in tidy.groupby(BY, sort=False):
        interval = mean_interval(group["value"])
        published = group["paper"].iloc[0]
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "metric": metric,
                "mean": interval.mean,
                "interval": interval.half_width,
                "seeds": interval.n,
                "paper": published,
                "verdict": _beside(interval, published),
                "data": group["provenance"].iloc[0],
            }
        )
    return pd.DataFrame(rows, columns=MAIN)


def with_not_run(
    table: pd.DataFrame, systems: Iterable[str], *, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """`main_table` with rows for what was not run, on its datasets and on the paper's.

    Args:
        systems: rows of the main table, such as "bpr" and "sea (released)". One without a run gets
            the paper's number and the verdict "not run".
    """
    paper = paper_numbers()
    published = paper.set_index(["dataset", "system", "metric"])["paper"]
    datasets = list(dict.fromkeys([*table["dataset"], *paper["dataset"]]))
    wanted = pd.MultiIndex.from_product([datasets, systems, metrics], names=BY)
    absent = wanted.difference(pd.MultiIndex.from_frame(table[BY]), sort=False)
    rows = absent.to_frame(index=False).assign(seeds=0, verdict="not run", data="")
    systems_of = rows["model"].map(lambda label: find_row(label)[0].paper.lower())
    keys = zip(rows["dataset"], systems_of, rows["metric"], strict=True)
    rows["paper"] = [published.get(key, np.nan) for key in keys]
    parts = [part for part in (table, rows) if len(part)] or [table]
    whole = pd.concat(parts, ignore_index=True)[MAIN]
    places = whole["dataset"].map(datasets.index)
    return whole.loc[places.argsort(kind="stable")].reset_index(drop=True)


def sizes(datasets: Iterable[Dataset | Known]) -> pd.DataFrame:
    """Sizes and sparsity of each dataset, beside those of SEA Table 1."""
    published = paper_sizes()
    rows = []
    for data in datasets:
        counts = (data.n_users, data.n_items, data.n_interactions)
        sparsity = 100 * (1 - counts[2] / (counts[0] * counts[1]))
        words = _sizes_in_words(counts, published.get(data.name))
        rows.append((data.name, *counts, round(sparsity, 2), words, data.provenance or "unknown"))
    return pd.DataFrame(rows, columns=SIZES)


def differences(
    results: Results, arms: Sequence[str] | None = None, metric: str = "recall@20"
) -> pd.DataFrame:
    """What a system loses by each change: the reference minus each other arm, with the columns
    `DIFFERENCES`.

    Arms are compared within their family, on the seeds that both have. All rows are one family for
    Holm's correction. A difference counts as a "loss" or a "gain" where both corrected p-values are
    below .05; else the verdict is "not shown", or "one seed". Named families stand in a column
    `system`.

    Args:
        arms: labels, the reference first; all arms of a family where they are not given.
    """
    rows = []
    for dataset, family in results.families():
        by_label = results.of(dataset, family)
        reference, *changed = arms or by_label
        for label in changed:
            pair = _shared(by_label.get(reference, []), by_label.get(label, []))
            if pair[0]:
                rows.append({"change": label, "system": family, **_difference(*pair, metric)})
    table = pd.DataFrame(rows, columns=[*DIFFERENCES, "system"])
    for over in OVER:
        p_values = table[f"Holm's p, {over}"].dropna()
        table.loc[p_values.index, f"Holm's p, {over}"] = holm(p_values)
    if not table["system"].any():
        table = table.drop(columns="system")
    return table.assign(verdict=[_verdict(row) for row in table.to_dict("records")])


def as_gains(table: pd.DataFrame) -> pd.DataFrame:
    """`differences` with the other sign: what a change gains."""
    turned = {
        "difference": -table["difference"],
        "by_seed": [[-value for value in values] for values in table["by_seed"]],
    }
    for over in OVER:
        turned[f"low, {over}"] = -table[f"high, {over}"]
        turned[f"high, {over}"] = -table[f"low, {over}"]
    return table.assign(**turned)


def readable(
    table: pd.DataFrame, heading: str = "costs", words: Mapping[str, str] = WORDS
) -> pd.DataFrame:
    """`differences` to be read: an interval is one cell, a p-value and a verdict are text.

    Args:
        heading: of the column of differences.
        words: for verdicts.
    """
    cells = {}
    for over in OVER:
        cells[f"over {over}"] = [_interval(row, over) for row in table.to_dict("records")]
        cells[f"p, {over}"] = [_p_value(p) for p in table[f"Holm's p, {over}"]]
    cells["verdict"] = table["verdict"].replace(words)
    renamed = table.rename(columns={"difference": heading}).assign(**cells)
    first = [name for name in ("dataset", "system", "change", "mean", heading) if name in renamed]
    last = ["over users", "p, users", "over seeds", "p, seeds", "seeds", "verdict", "data"]
    return renamed[[*first, *last]]


def in_words(table: pd.DataFrame, verb: str = "costs") -> list[str]:
    """`differences` as points of a list, a sentence a row."""
    return [_sentence(row, verb) for row in table.to_dict("records")]


def _shared(a: list[Run], b: list[Run]) -> list[list[Run]]:
    """The runs of the seeds that both have, in the order of the seeds."""
    seeds = {run.seed for run in a} & {run.seed for run in b}
    pair = [[run for run in runs if run.seed in seeds] for runs in (a, b)]
    return [sorted(runs, key=lambda run: run.seed) for runs in pair]


def _difference(reference: list[Run], changed: list[Run], metric: str) -> dict[str, Any]:
    """A row of `differences`; its p-values are not yet corrected."""
    values = [[run.test[metric] for run in runs] for runs in (reference, changed)]
    row = {
        "dataset": changed[0].dataset,
        "mean": float(np.mean(values[1])),
        "by_seed": [a - b for a, b in zip(*values, strict=True)],
        "seeds": len(changed),
        "data": changed[0].provenance or "unknown",
    }
    stacked = [np.stack([run.per_user[metric] for run in runs]) for runs in (reference, changed)]
    found = {over: paired_difference(*stacked, over=over) for over in OVER}
    for over, value in found.items():
        row |= {
            f"low, {over}": value.low,
            f"high, {over}": value.high,
            f"Holm's p, {over}": value.p,
        }
    return row | {"difference": found["users"].mean}


def _verdict(row: Mapping[str, Any], level: float = 0.05) -> str:
    if row["seeds"] < 2:
        return "one seed"
    if not all(row[f"Holm's p, {over}"] < level for over in OVER):
        return "not shown"
    return "loss" if row["difference"] > 0 else "gain"


def _sentence(row: Mapping[str, Any], verb: str) -> str:
    change = f"{row['system']} {row['change']}" if "system" in row else row["change"]
    seeds = ""
    if row["seeds"] > 1:
        seeds = f", over seeds {_interval(row, 'seeds')}, {row['seeds']} seeds"
    return (
        f"- **{row['dataset']}**, {change}: {verb} {row['difference']:+.4f}, "
        f"over users {_interval(row, 'users')}{seeds}: {WORDS[row['verdict']]}."
    )


def _interval(row: Mapping[str, Any], over: str) -> str:
    low, high = row[f"low, {over}"], row[f"high, {over}"]
    return "" if pd.isna(low) else f"[{low:+.4f}, {high:+.4f}]"


def _p_value(p: float) -> str:
    if pd.isna(p):
        return ""
    return "<.0001" if p < 1e-4 else f"{p:.4f}"


def _beside(interval: Interval, published: float) -> str:
    if np.isnan(published):
        return ""
    if np.isnan(interval.half_width):
        return "one seed"
    if abs(published - interval.mean) <= interval.half_width:
        return "within"
    return "above" if interval.mean > published else "below"


def _sizes_in_words(counts: tuple[int, ...], published: tuple[int, ...] | None) -> str:
    if published is None:
        return ""
    if published == counts:
        return "the same"
    return "{} users, {} items, {} pairs".format(*published)

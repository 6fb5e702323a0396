"""Tidy tables of runs: curves, values by seed, means beside the paper's numbers, differences.

Runs come as pairs (label, run), which is what iterating over a study's `Results` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from seapkg.analysis.statistics import (
    Interval,
    detectable_difference,
    holm,
    mean_interval,
    paired_difference,
    permutation_p,
)
from seapkg.data import Dataset
from seapkg.data.catalogue import Known
from seapkg.runs.run import METRICS, Run
from seapkg.studies.base import rows as table_rows
from seapkg.studies.paper import paper_numbers, paper_sizes

if TYPE_CHECKING:
    from seapkg.studies.base import Results

Labelled = Iterable[tuple[str, Run]]

BY = ["dataset", "model", "metric"]
BY_SEED = [*BY, "seed", "value", "data"]
MAIN = [*BY, "mean", "interval", "seeds", "paper", "verdict", "data"]
SIZES = ["dataset", "users", "items", "interactions", "sparsity, %", "the paper's", "data"]
OVER = ("users", "seeds")
P_VALUES = [f"Holm's p, {over}" for over in OVER]
PERMUTED = "Holm's p, permutation"
ENDS = [f"{end}, {over}" for over in OVER for end in ("low", "high", "Holm's p")]
DIFFERENCES = ["dataset", "change", "mean", "difference", *ENDS, PERMUTED, "detectable"]
DIFFERENCES += ["by_seed", "seeds", "data"]
#: The verdicts of `differences`, in words.
WORDS = {
    "loss": "a loss, over users and over seeds",
    "gain": "a gain, over users and over seeds",
    "not shown": "not significant",
    "one seed": "one seed, which cannot tell",
}
SIGNIFICANT = ["loss", "gain"]
LEVEL = 0.05


def curves(runs: Labelled) -> pd.DataFrame:
    """Training curves: columns run, model, seed, epoch, metric and value."""
    columns = ["run", "model", "seed", "epoch", "metric", "value"]
    tables = [pd.DataFrame(columns=columns)]
    for label, run in runs:
        table = run.curves.melt("epoch", var_name="metric", value_name="value")
        tables.append(table.assign(run=run.name, model=label, seed=run.seed)[columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def by_seed(runs: Labelled, *, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Test metrics, one row per run and metric: columns `BY_SEED` and the paper's number."""
    rows = [
        (run.dataset, label, metric, run.seed, run.test[metric], run.provenance or "unknown")
        for label, run in runs
        for metric in metrics
    ]
    table = pd.DataFrame(rows, columns=BY_SEED)
    return table.assign(paper=_published(table))


def main_table(runs: Labelled, *, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """One row per dataset, model and metric, with the columns `MAIN`.

    `interval` is the half width of the 95 % interval of the mean over seeds, nan for a single seed.
    `verdict` compares the mean with the paper's number: "within" if that lies in the interval, else
    "above" or "below"; "one seed" without an interval; "" without a number.
    """
    rows = []
    for key, group in by_seed(runs, metrics=metrics).groupby(BY, sort=False):
        interval, first = mean_interval(group["value"]), group.iloc[0]
        verdict = _beside(interval, first["paper"])
        values = (interval.mean, interval.half_width, interval.n, first["paper"], verdict)
        rows.append((*key, *values, first["data"]))
    return pd.DataFrame(rows, columns=MAIN)


def with_not_run(results: Results, *, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """`main_table` with rows for the systems and datasets of the study that were not run.

    Such a row has the paper's number and the verdict "not measured: N h", or "not run" where the
    hours are unknown.
    """
    table = main_table(results, metrics=metrics)
    labels = [arm.label for arm in results.study.arms]
    wanted = pd.MultiIndex.from_product([results.study.data, labels, metrics], names=BY)
    whole = table.set_index(BY).reindex(wanted).reset_index()
    whole["paper"] = _published(whole)
    hours = pd.Series(map(not_measured, whole["dataset"], whole["model"]))
    whole["verdict"] = whole["verdict"].fillna(hours)
    return whole.fillna({"seeds": 0, "data": ""}).astype({"seeds": int})[MAIN]


def not_measured(dataset: str, label: str) -> str:
    """What a cell without a run says: the hours of one core that the run would take."""
    hours = _hours().get(dataset, {}).get(label)
    return "not run" if hours is None else f"not measured: {hours:g} h"


def side_by_side(table: pd.DataFrame, columns: str) -> pd.DataFrame:
    """`main_table` or `with_not_run` with one row per system, in the table's order.

    A cell is the mean ± half its 95 % interval (one seed has none), or why there is no run; the
    paper's number is in brackets.

    Args:
        table: the table.
        columns: "dataset" or "metric", whose values become columns; the other has a single value.
    """
    means, half_widths, printed = (table[name].map(_four) for name in ("mean", "interval", "paper"))
    cells = means + (" ± " + half_widths).where(table["interval"].notna(), "")
    cells = cells.where(table["seeds"] > 0, table["verdict"])
    cells += (" (" + printed + ")").where(table["paper"].notna(), "")
    keys = pd.MultiIndex.from_frame(table[["model", columns]])
    wide = cells.set_axis(keys).unstack(sort=False)
    return wide.rename_axis(columns=None).reset_index()


def sizes(datasets: Iterable[Dataset | Known]) -> pd.DataFrame:
    """Sizes and sparsity of each dataset, beside those of SEA Table 1."""
    published = {name: tuple(row) for name, *row in paper_sizes().itertuples()}
    rows = []
    for data in datasets:
        counts = (data.n_users, data.n_items, data.n_interactions)
        sparsity = 100 * (1 - data.n_interactions / (data.n_users * data.n_items))
        printed = published.get(data.name)
        words = "{} users, {} items, {} pairs".format(*printed) if printed else ""
        words = "the same" if printed == counts else words
        rows.append((data.name, *counts, round(sparsity, 2), words, data.provenance or "unknown"))
    return pd.DataFrame(rows, columns=SIZES)


def differences(
    results: Results,
    arms: Sequence[str] | None = None,
    metric: str = "recall@20",
    nearest: int | None = None,
) -> pd.DataFrame:
    """What a system loses by each change: the reference minus each other arm.

    Arms are compared within their family, on the seeds that both have. Holm's correction covers all
    comparisons of these arms on all datasets, with those that `nearest` leaves out. The verdict is
    "loss" or "gain" if both corrected p-values of the t-tests are below .05, else "not shown". A
    single seed cannot tell: the verdict is "one seed", without p-values, and the comparison does
    not count in the correction. `detectable` is the smallest difference that would have been
    significant over users and over seeds (`statistics.detectable_difference`).

    Args:
        results: the runs.
        arms: labels, the reference first; None compares all arms of each family.
        metric: the test metric.
        nearest: shows only so many arms, those whose difference is smallest.

    Returns:
        The columns `DIFFERENCES`, `system` where families have names, and `verdict`.
    """
    rows = []
    for (dataset, family), by_label in results.groups().items():
        reference, *others = arms or by_label
        for label in others:
            pair = _on_shared_seeds(by_label.get(reference, []), by_label.get(label, []))
            if pair[0] and label != reference:
                names = {"dataset": dataset, "change": label, "system": family}
                rows.append(names | _difference(*pair, metric))
    table = pd.DataFrame(rows, columns=[*DIFFERENCES, "system", "users"])
    table = _corrected(table).drop(columns="users")
    table = table.assign(verdict=_verdicts(table))
    if nearest is not None:
        table = _nearest(table, nearest)
    return table if table["system"].any() else table.drop(columns="system")


def as_gains(table: pd.DataFrame) -> pd.DataFrame:
    """`differences` with the opposite sign: what each change gains."""
    by_seed = [[-value for value in values] for values in table["by_seed"]]
    turned = table.assign(difference=-table["difference"], by_seed=by_seed)
    for over in OVER:
        turned[f"low, {over}"] = -table[f"high, {over}"]
        turned[f"high, {over}"] = -table[f"low, {over}"]
    return turned


def readable(
    table: pd.DataFrame, heading: str = "costs", words: Mapping[str, str] = WORDS
) -> pd.DataFrame:
    """`differences` for readers: each interval in one cell, p-values and verdicts as text.

    "permuted" is the p-value of the permutation test over users. "not significant" names the
    smallest difference that would have been significant.

    Args:
        table: the result of `differences`.
        heading: the name of the column of differences.
        words: verdict -> its text.
    """
    shown = table.rename(columns={"difference": heading})
    for over in OVER:
        shown[f"over {over}"] = [_interval(row, over) for row in table.to_dict("records")]
        shown[f"p, {over}"] = table[f"Holm's p, {over}"].map(_p_value)
    shown["permuted"] = table[PERMUTED].map(_p_value)
    shown["verdict"] = [_in_words(row, words) for row in table.to_dict("records")]
    columns = ["dataset", "system", "change", "mean", heading, "over users", "p, users", "permuted"]
    columns += ["over seeds", "p, seeds", "seeds", "verdict", "data"]
    return shown[[name for name in columns if name in shown]]


def in_words(table: pd.DataFrame, verb: str = "costs") -> list[str]:
    """`differences` as Markdown list items, one sentence per row."""
    points = []
    for row in readable(table, verb).to_dict("records"):
        change = f"{row.get('system', '')} {row['change']}".strip()
        points.append(
            f"- **{row['dataset']}**, {change}: {verb} {row[verb]:+.4f}, "
            f"over users {row['over users']}, over seeds {row['over seeds'] or 'unknown'} "
            f"({row['seeds']}): {row['verdict']}."
        )
    return points


@cache
def _hours() -> dict[str, dict[str, float]]:
    return yaml.safe_load((resources.files("seapkg.studies") / "not_measured.yaml").read_bytes())


def _published(table: pd.DataFrame) -> list[float]:
    """The paper's number for each dataset, row of the main table and metric; nan without one."""
    numbers = paper_numbers().to_dict()
    names = {label: system.paper.lower() for label, (system, _) in table_rows().items()}
    keys = zip(table["dataset"], table["model"].map(names), table["metric"], strict=True)
    return [numbers.get(key, np.nan) for key in keys]


def _beside(interval: Interval, published: float) -> str:
    if np.isnan(published):
        return ""
    if np.isnan(interval.half_width):
        return "one seed"
    if abs(published - interval.mean) <= interval.half_width:
        return "within"
    return "above" if interval.mean > published else "below"


def _on_shared_seeds(a: list[Run], b: list[Run]) -> list[list[Run]]:
    by_seed = [{run.seed: run for run in runs} for runs in (a, b)]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    return [[runs[seed] for seed in seeds] for runs in by_seed]


def _difference(reference: list[Run], changed: list[Run], metric: str) -> dict[str, Any]:
    """A row of `differences`; its p-values are not yet corrected."""
    values = [[run.test[metric] for run in runs] for runs in (reference, changed)]
    users = [np.stack([run.per_user[metric] for run in runs]) for runs in (reference, changed)]
    row = {
        "mean": float(np.mean(values[1])),
        "difference": paired_difference(*users).mean,
        "by_seed": [a - b for a, b in zip(*values, strict=True)],
        PERMUTED: permutation_p(*users),
        "seeds": len(changed),
        "users": users[0].shape[1],
        "data": changed[0].provenance or "unknown",
    }
    for over in OVER:
        paired = paired_difference(*users, over=over)
        ends = {f"low, {over}": paired.low, f"high, {over}": paired.high}
        row |= ends | {f"Holm's p, {over}": paired.p}
    return row if len(changed) > 1 else row | dict.fromkeys((*P_VALUES, PERMUTED), np.nan)


def _corrected(family: pd.DataFrame) -> pd.DataFrame:
    """Holm's correction of a table of comparisons, and the difference each could have detected."""
    n_tests = max(1, (family["seeds"] > 1).sum())
    detectable = []
    for row in family.to_dict("records"):
        half_widths = [(row[f"high, {over}"] - row[f"low, {over}"]) / 2 for over in OVER]
        sizes = [row[over] for over in OVER]
        both = [detectable_difference(*at, n_tests) for at in zip(half_widths, sizes, strict=True)]
        detectable.append(np.max(both))  # nan with one seed
    corrected = family.assign(detectable=detectable)
    for column in (*P_VALUES, PERMUTED):
        p_values = family[column].dropna()
        corrected.loc[p_values.index, column] = holm(p_values)
    return corrected


def _nearest(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` rows of each dataset and family of arms with the smallest differences."""
    groups = table.groupby(["dataset", "system"], sort=False)
    parts = [group.sort_values("difference", key=abs).head(n) for _, group in groups]
    return pd.concat(parts or [table], ignore_index=True)


def _verdicts(table: pd.DataFrame) -> np.ndarray:
    significant = (table[P_VALUES] < LEVEL).all(axis=1)
    cases = [table["seeds"] < 2, ~significant, table["difference"] > 0]
    return np.select(cases, ["one seed", "not shown", "loss"], "gain")


def _in_words(row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    text = words.get(row["verdict"], row["verdict"])
    if row["verdict"] != "not shown":
        return text
    return f"{text}; detectable: {_four(row['detectable'])}"


def _interval(row: Mapping[str, Any], over: str) -> str:
    low, high = row[f"low, {over}"], row[f"high, {over}"]
    return "" if pd.isna(low) else f"[{low:+.4f}, {high:+.4f}]"


def _four(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _p_value(p: float) -> str:
    if pd.isna(p):
        return ""
    return "<.0001" if p < 1e-4 else f"{p:.4f}"

"""Many runs as tidy tables: curves, values by seed, and the main table beside the paper's numbers."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from seapkg.analysis.statistics import Difference, Interval, holm, mean_interval, paired_difference
from seapkg.errors import RequestError
from seapkg.runs.run import METRICS, Run
from seapkg.studies.paper import number, paper_numbers, paper_sizes, printed_name

BY_SEED = ["dataset", "model", "metric", "seed", "value", "paper", "run", "group", "provenance"]
COSTS_OF_CHANGES = [
    "dataset", "change", "mean", "difference", "low, users", "high, users", "p, users",
    "low, seeds", "high, seeds", "p, seeds", "by_seed", "seeds", "data",
]  # fmt: skip
MAIN = ["dataset", "model", "metric", "mean", "interval", "seeds", "paper", "verdict", "data"]
SIZES = ["dataset", "users", "items", "interactions", "sparsity, %", "the paper's", "data"]


def curves(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a run, epoch and metric: run, model, seed, epoch, metric, value; for `plots.training_curves`."""
    runs = list(runs)
    labels = group_labels(runs)
    parts = [
        run.curves.melt("epoch", var_name="metric", value_name="value").assign(
            run=run.name, model=labels[_group(run)], seed=run.seed
        )
        for run in runs
    ]
    columns = ["run", "model", "seed", "epoch", "metric", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def by_seed(
    runs: Iterable[Run],
    paper: pd.DataFrame | None = None,
    *,
    metrics: Sequence[str] = METRICS,
    split: str = "test",
) -> pd.DataFrame:
    """One row a run and metric: dataset, model, metric, seed, value, paper, run, group, provenance.

    Runs that differ in more than the seed get different `model` labels, such as "sea (released), n_layers=1".
    `paper`: the table of `paper_numbers()`, which is read where it is not given; numbers are of the test split.
    """
    runs = list(runs)
    paper = paper_numbers() if paper is None else paper
    labels = group_labels(runs)
    rows = [
        {
            "dataset": run.dataset,
            "model": labels[_group(run)],
            "metric": metric,
            "seed": run.seed,
            "value": _value(getattr(run, split)[metric]),
            "paper": number(paper, run, metric) if split == "test" else np.nan,
            "run": run.name,
            "group": _group(run),
            "provenance": run.provenance or "unknown",
        }
        for run in runs
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=BY_SEED)


def main_table(
    runs: Iterable[Run], paper: pd.DataFrame | None = None, *, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """One row a dataset, model and metric: mean over seeds, 95 % interval, n seeds, the paper's number, what is real.

    `interval` is the half width, nan for a single seed. Metrics are of the test split, at the best valid epoch.
    `verdict` says where the mean lies beside the paper's number: "within" the interval of it, "above", "below", or
    "one seed", which cannot tell; "" where the paper has none.
    """
    tidy = by_seed(runs, paper, metrics=metrics)
    rows = []
    for (dataset, model, metric), group in tidy.groupby(["dataset", "model", "metric"], sort=False):
        interval = mean_interval(group["value"])
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "metric": metric,
                "mean": interval.mean,
                "interval": interval.half_width,
                "seeds": interval.n,
                "paper": group["paper"].iloc[0],
                "verdict": _beside(interval, group["paper"].iloc[0]),
                "data": group["provenance"].iloc[0],
            }
        )
    return pd.DataFrame(rows, columns=MAIN)


def with_not_run(
    table: pd.DataFrame,
    systems: Iterable[str],
    paper: pd.DataFrame | None = None,
    *,
    metrics: Sequence[str] = METRICS,
) -> pd.DataFrame:
    """`main_table` and, for each of its datasets and of the paper's, a row a metric for every system without a run.

    `systems`: labels such as "bpr" and "sea (released)". Such rows have the paper's number and the verdict "not run".
    """
    paper = paper_numbers() if paper is None else paper
    printed = paper.set_index(["dataset", "system", "metric"])["paper"]
    there = set(zip(table["dataset"], table["model"], strict=True))
    datasets = dict.fromkeys([*table["dataset"], *paper["dataset"]])
    rows = [
        {"dataset": dataset, "model": system, "metric": metric, "seeds": 0, "verdict": "not run", "data": "",
         "paper": printed.get((dataset, printed_name(system.split(" (")[0]), metric), np.nan)}
        for dataset in datasets for system in systems if (dataset, system) not in there for metric in metrics
    ]  # fmt: skip
    parts = [part for part in (table, pd.DataFrame(rows, columns=MAIN)) if len(part)]
    whole = pd.concat(parts, ignore_index=True) if parts else table
    order = {name: place for place, name in enumerate(datasets)}
    return whole.sort_values(
        "dataset", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )


def sizes(datasets: Iterable) -> pd.DataFrame:
    """Table 1: sizes and sparsity of each `Dataset` (or of what is `Known` of one), and the paper's."""
    printed, rows = paper_sizes(), []
    for data in datasets:
        own = data.n_users, data.n_items, data.n_interactions
        others = printed.get(data.name)
        said = (
            ""
            if others is None
            else "the same"
            if others == own
            else "{} users, {} items, {} pairs".format(*others)
        )
        sparsity = 100 * (1 - own[2] / (own[0] * own[1]))
        rows.append((data.name, *own, round(sparsity, 2), said, data.provenance or "unknown"))
    return pd.DataFrame(rows, columns=SIZES)


def compare(
    a: Iterable[Run],
    b: Iterable[Run],
    metric: str = "recall@20",
    over: str = "users",
) -> Difference:
    """Is `a` better than `b`? Test metrics paired by user and by seed; `a` and `b` hold the same seeds and data.

    `over`: what the test and the interval speak of, other "users" or other "seeds" (`paired_difference`)."""
    a, b = (sorted(runs, key=lambda run: run.seed) for runs in (a, b))
    seeds = [[run.seed for run in runs] for runs in (a, b)]
    if seeds[0] != seeds[1] or not seeds[0]:
        raise RequestError(
            f"a comparison pairs runs by seed; these have the seeds {seeds[0]} and {seeds[1]}"
        )
    if len({run.spec.dataset_fingerprint for run in a + b}) > 1:
        raise RequestError("a comparison pairs users; these runs are on different data")
    tables = [
        np.stack([run.per_user[metric] for run in runs]) for runs in (a, b)
    ]  # [n_seeds, n_users] each
    return paired_difference(*tables, over=over)


def costs_of_changes(runs: dict[str, list[Run]], metric: str = "recall@20") -> pd.DataFrame:
    """What a system loses by each change: the first group of `runs` minus each other one, seed by seed.

    `runs`: label -> runs of one dataset, the unchanged system first. One row a change that shares a seed with it:
    dataset, change, mean (of the changed system), difference (positive where the change costs), its 95 % intervals
    and p-values over users and over seeds, by_seed (the difference at each shared seed), seeds, data.
    """
    (_, unchanged), *changed = runs.items()
    rows = []
    for label, group in changed:
        shared = {run.seed for run in group} & {run.seed for run in unchanged}
        if shared:
            rows.append(
                _cost(
                    label,
                    *([run for run in x if run.seed in shared] for x in (unchanged, group)),
                    metric,
                )
            )
    return pd.DataFrame(rows, columns=COSTS_OF_CHANGES)


def judged(costs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of `costs_of_changes` as one family of comparisons: the p-values give way to Holm's, and a verdict.

    Columns "Holm's p, users" and "Holm's p, seeds" stand where the p-values stood, "verdict" comes last.
    """
    filled = [table for table in costs if len(table)]
    table = (
        pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COSTS_OF_CHANGES)
    )
    for over in ("users", "seeds"):
        known = table[f"p, {over}"].notna()
        table.loc[known, f"p, {over}"] = holm(table.loc[known, f"p, {over}"])
    table = table.rename(columns={f"p, {over}": f"Holm's p, {over}" for over in ("users", "seeds")})
    return table.assign(verdict=[_verdict(row) for row in table.to_dict("records")])


def as_gains(costs: pd.DataFrame) -> pd.DataFrame:
    """`judged` turned round: what a change gains, its intervals and each seed's difference with the other sign."""
    turned = {
        "difference": -costs["difference"],
        "by_seed": [[-x for x in values] for values in costs["by_seed"]],
    }
    for over in ("users", "seeds"):
        turned |= {f"low, {over}": -costs[f"high, {over}"], f"high, {over}": -costs[f"low, {over}"]}
    return costs.assign(**turned)


def readable(costs: pd.DataFrame, difference: str = "costs") -> pd.DataFrame:
    """`judged` for the eye: each interval one cell, each p-value a text; `difference` heads the differences."""
    cells = {}
    for over in ("users", "seeds"):
        cells[f"over {over}"] = [_ends(row, over) for row in costs.to_dict("records")]
        cells[f"p, {over}"] = [_p(p) for p in costs[f"Holm's p, {over}"]]
    table = costs.rename(columns={"difference": difference}).assign(**cells)
    first = [name for name in ("dataset", "system", "change", "mean", difference) if name in table]
    return table[[*first, *cells, "seeds", "verdict", "data"]]


def in_words(costs: pd.DataFrame, verb: str = "costs") -> list[str]:
    """`judged` as points of a list, a sentence a row."""
    said = []
    for row in costs.to_dict("records"):
        what = f"{row['system']} {row['change']}" if "system" in row else row["change"]
        over = f"over users {_ends(row, 'users')}" + (
            f", over seeds {_ends(row, 'seeds')}" if row["seeds"] > 1 else ""
        )
        seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
        said.append(
            f"- **{row['dataset']}**, {what}: {verb} {row['difference']:+.4f}, {over}{seeds}: {row['verdict']}."
        )
    return said


def _ends(row: dict[str, object], over: str) -> str:
    low, high = row[f"low, {over}"], row[f"high, {over}"]
    return "" if pd.isna(low) else f"[{low:+.4f}, {high:+.4f}]"


def _p(p: float) -> str:
    return "" if pd.isna(p) else "<.0001" if p < 1e-4 else f"{p:.4f}"


def _verdict(row: dict[str, object], level: float = 0.05) -> str:
    """A difference counts where it is beyond chance over users *and* over seeds; one seed cannot tell."""
    if row["seeds"] < 2:
        return "cannot be told from one seed"
    if not (row["Holm's p, users"] < level and row["Holm's p, seeds"] < level):
        return "nothing measurable with these seeds"
    return (
        "a loss, over users and over seeds"
        if row["difference"] > 0
        else "a gain, over users and over seeds"
    )


def _cost(label: str, unchanged: list[Run], changed: list[Run], metric: str) -> dict[str, object]:
    users, seeds = (compare(unchanged, changed, metric, over=over) for over in ("users", "seeds"))
    pairs = zip(
        *(sorted(runs, key=lambda run: run.seed) for runs in (unchanged, changed)), strict=True
    )
    return {
        "dataset": changed[0].dataset,
        "change": label,
        "mean": float(np.mean([run.test[metric] for run in changed])),
        "difference": users.mean,
        "low, users": users.low,
        "high, users": users.high,
        "p, users": users.p,
        "low, seeds": seeds.low,
        "high, seeds": seeds.high,
        "p, seeds": seeds.p,
        "by_seed": [a.test[metric] - b.test[metric] for a, b in pairs],
        "seeds": users.n_seeds,
        "data": changed[0].provenance or "unknown",
    }


def group_labels(runs: Iterable[Run]) -> dict[str, str]:
    """A label for each group of runs that differ in nothing but the seed: the model, and what sets it apart."""
    groups = {_group(run): run for run in runs}
    return {key: _label(run, list(groups.values())) for key, run in groups.items()}


def _group(run: Run) -> str:
    """The same for two runs exactly when they differ in nothing but the seed."""
    return dataclasses.replace(run.spec, seed=0).key


def _label(run: Run, others: list[Run]) -> str:
    rivals = [
        other for other in others if (other.dataset, _name(other)) == (run.dataset, _name(run))
    ]
    apart = _what_sets_apart(
        _options(run), [_options(other) for other in rivals if other is not run]
    )
    return ", ".join([_name(run), *apart])


def _name(run: Run) -> str:
    """The model, with its formulation where it has one: what it is called in every table and on every dataset."""
    formulation = run.config.get("formulation")
    return f"{run.model} ({formulation})" if formulation else run.model


def _what_sets_apart(mine: dict[str, object], rivals: list[dict[str, object]]) -> list[str]:
    """The first option whose value no rival shares; where there is none, every option that some rival has otherwise."""
    sharing = {key: sum(rival.get(key) == value for rival in rivals) for key, value in mine.items()}
    alone = [key for key in mine if sharing[key] == 0]
    telling = alone[:1] or [key for key in mine if sharing[key] < len(rivals)]
    return [f"{key}={mine[key]}" for key in telling] if rivals else []


def _options(run: Run) -> dict[str, object]:
    spec = run.spec
    last = {
        "precision": spec.precision,
        "results_version": spec.results_version,
        "data": spec.dataset_fingerprint[:6],
    }
    return {**spec.config, **spec.training, **last}


def _beside(ours: Interval, paper: float) -> str:
    if np.isnan(paper):
        return ""
    if np.isnan(ours.half_width):
        return "one seed"
    return (
        "within"
        if abs(paper - ours.mean) <= ours.half_width
        else "above"
        if ours.mean > paper
        else "below"
    )


def _value(value: float | None) -> float:
    return np.nan if value is None else value

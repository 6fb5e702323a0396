"""Figures of the studies: what a change gains, what an option does, what a learned part knows.

Functions take a tidy table (or arrays) and return a Figure.
"""

from itertools import cycle
from statistics import median_low

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.analysis.statistics import mean_interval
from seapkg.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAPER_LOOK,
    PURPLE,
    SKY,
    VERMILLION,
    axis_label,
    edge_arrow,
    label_rows,
    look,
    no_runs_yet,
    outer_legend,
    panels,
    paper_legend,
    style,
)

PARTS = ("generic", "unique")
FACTOR_LOOKS = {
    "generic": (BLUE, "o"),
    "own unique": (VERMILLION, "s"),
    "other's unique": (BLACK, "x"),
}
METHOD_COLOURS = (BLUE, VERMILLION, ORANGE, BLACK, GREEN, PURPLE, SKY)
PART_COLOURS = {"generic": (BLUE, SKY), "unique": (VERMILLION, ORANGE), "whole": (GREEN, PURPLE)}
FAR = 5  # a row that reaches this many times as far as the median row is not drawn to scale


@style()
def gain_panels(costs: pd.DataFrame, metric: str = "recall@20") -> Figure:
    """What each change gains: one panel per dataset, one row per change, gains to the right.

    Black: the mean and its 95 % interval over users. Orange, below it: one point per seed and the
    95 % interval over seeds. A row far out becomes an arrow with its number; otherwise the other
    rows could not be told apart.

    Args:
        costs: what `tables.differences` returns, a positive difference being a loss; columns
            `dataset, change, difference, by_seed`, and "low, users" to "high, seeds".
        metric: the metric of the differences.
    """
    if costs.empty:
        return no_runs_yet()
    datasets, changes = costs["dataset"].unique(), list(costs["change"].unique())
    size = (1.2 + 2.3 * len(datasets), 0.9 + 0.32 * len(changes))
    figure = Figure(figsize=size, layout="constrained")
    all_axes = figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
    label_rows(all_axes[0], changes)
    for axes, dataset in zip(all_axes, datasets, strict=True):
        rows = costs[costs["dataset"] == dataset]
        _gain_panel(axes, rows.assign(row=rows["change"].map(changes.index)))
        axes.set_title(dataset)
    figure.supxlabel(f"gain in {axis_label(metric, 'test')} (right is better)")
    outer_legend(figure, "upper center", ncols=min(2, len(datasets)), reverse=True)
    return figure


def _gain_panel(axes: Axes, costs: pd.DataFrame) -> None:
    reach = costs.filter(regex="^(difference|low|high)").abs().max(axis=1)
    is_far = reach > FAR * median_low(reach)
    near = costs[~is_far]
    half_widths = near["high, users"] - near["difference"]
    black = {"fmt": "o", "color": BLACK, "capsize": 3, "label": "mean, 95 % over users"}
    axes.errorbar(-near["difference"], near["row"], xerr=half_widths, **black)
    seeds = near.explode("by_seed").astype({"by_seed": float})
    orange = {"color": VERMILLION, "markersize": 3, "label": "each seed, 95 % over seeds"}
    axes.plot(-seeds["by_seed"], seeds["row"] + 0.25, ".", clip_on=False, **orange)
    ends = (-near["high, seeds"], -near["low, seeds"])
    axes.hlines(near["row"] + 0.25, *ends, color=VERMILLION, linewidth=0.6)
    for row in costs[is_far].itertuples():
        edge_arrow(axes, -row.difference, row.row, right=row.difference < 0)
    axes.axvline(0, color="0.7", linewidth=1, zorder=0)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=4)


@style()
def sensitivity(
    table: pd.DataFrame, unchanged: dict[str, list[float]], metric: str = "recall@20"
) -> Figure:
    """A test metric against an option's value: one row per dataset, one panel per option.

    One point per seed, a line through the means, a ring around the default's points, a grey band
    over the default's seeds. Values stand at even distances in rising order.

    Args:
        table: columns `dataset, option, value` (a number), `is_default, seed, metric_value`.
        unchanged: dataset -> the default's metric at every available seed.
        metric: the name of the metric.
    """
    if table.empty:
        return no_runs_yet()
    options, datasets = table["option"].unique(), sorted(table["dataset"].unique())
    size = (0.6 + 2.3 * len(options), 2.0 * len(datasets) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(datasets), len(options), squeeze=False, sharey="row")
    for row, dataset in zip(grid, datasets, strict=True):
        row[0].set_ylabel(f"{axis_label(metric, 'test')}\n{dataset}")
        rows_of_dataset = table[table["dataset"] == dataset]
        for axes, option in zip(row, options, strict=True):
            if seeds := unchanged.get(dataset):
                axes.axhspan(min(seeds), max(seeds), color="0.9", zorder=0)
            _option_panel(axes, rows_of_dataset[rows_of_dataset["option"] == option])
    for axes, option in zip(grid[-1], options, strict=True):
        axes.set_xlabel(option.replace("_", " "))
    return figure


def _option_panel(axes: Axes, rows: pd.DataFrame) -> None:
    values = sorted(rows["value"].unique())
    places = rows["value"].map(values.index)
    means = rows.groupby("value")["metric_value"].mean()
    axes.plot(range(len(values)), means[values], color=VERMILLION, alpha=0.6)
    axes.plot(places, rows["metric_value"], "o", color=VERMILLION)
    default = rows["is_default"]
    ring = {"color": "none", "markeredgecolor": "black", "markersize": 8}
    axes.plot(places[default], rows["metric_value"][default], "o", **ring)
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])


@style()
def cost_points(table: pd.DataFrame) -> Figure:
    """Seconds per epoch (logarithmic) and peak memory (from 0), one row per system.

    Args:
        table: columns `system, seconds, memory_mb, paper_seconds`. The paper's seconds (nan where
            it has none) come from another machine and other features; compare proportions only.
    """
    figure = Figure(figsize=(6.4, 0.9 + 0.25 * len(table)), layout="constrained")
    seconds, memory = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(table.to_dict("records")):
        colour, marker = look(row["system"])
        seconds.plot(row["seconds"], place, marker, color=colour)
        seconds.plot(row["paper_seconds"], place, **PAPER_LOOK)
        memory.plot(row["memory_mb"], place, marker, color=colour)
    label_rows(seconds, list(table["system"]))
    seconds.set(xscale="log", xlabel="seconds per epoch")
    memory.set(xlabel="peak memory, MB")
    memory.set_xlim(left=0)
    for axes in (seconds, memory):
        axes.grid(axis="x", which="both", linewidth=0.3)
    paper_legend(figure, "the paper's seconds (its machine, its features)")
    return figure


@style()
def probe_panels(table: pd.DataFrame) -> Figure:
    """The R² of a linear probe for each factor: one panel per part, one row per method.

    Args:
        table: columns `method, part` ("generic" or "unique"), `factor` (a key of `FACTOR_LOOKS`),
            `seed, r2`. Whiskers are 95 % intervals over seeds.
    """
    methods = list(table["method"].unique())
    figure = Figure(figsize=(7.0, 0.9 + 0.27 * len(methods)), layout="constrained")
    both = figure.subplots(1, 2, sharey=True, sharex=True)
    label_rows(both[0], methods)
    for axes, part in zip(both, PARTS, strict=True):
        _probe_panel(axes, table[table["part"] == part], methods)
        axes.set_title(f"{part} part")
    figure.supxlabel("R² of a linear probe")
    outer_legend(figure, "upper center", ncols=3, title="factor")
    return figure


def _probe_panel(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    axes.axvline(0, color="0.8", linewidth=1)
    for shift, factor in zip((-0.15, 0, 0.15), FACTOR_LOOKS, strict=True):
        colour, marker = FACTOR_LOOKS[factor]
        groups = table[table["factor"] == factor].groupby("method")["r2"]
        intervals = {method: mean_interval(values) for method, values in groups}
        axes.errorbar(
            [interval.mean for interval in intervals.values()],
            [methods.index(method) + shift for method in intervals],
            xerr=[interval.half_width for interval in intervals.values()],  # nan draws nothing
            color=colour,
            marker=marker,
            linestyle="none",
            capsize=2,
            label=factor,
        )


@style()
def selectivity_by_share(table: pd.DataFrame) -> Figure:
    """Selectivity against the generic share: one panel per part, one line per method.

    Lines run through the means; seeds are points.

    Args:
        table: columns `method, part` ("generic" or "unique"), `seed, shared, selectivity`.
    """
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    both = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, part in zip(both, PARTS, strict=True):
        groups = table[table["part"] == part].groupby("method", sort=False)
        for (method, rows), colour in zip(groups, cycle(METHOD_COLOURS), strict=False):
            means = rows.groupby("shared")["selectivity"].mean()
            axes.plot(rows["shared"], rows["selectivity"], ".", color=colour, alpha=0.5)
            axes.plot(means.index, means, color=colour, label=method)
        axes.axhline(0, color="0.7", linewidth=1, zorder=0)
        axes.set(title=f"{part} part", xlabel="share of a modality that is generic")
    both[0].set_ylabel("selectivity (difference of R²)")
    outer_legend(figure, ncols=4)
    return figure


@style()
def part_maps(maps: dict[str, dict[str, np.ndarray]], n_columns: int = 4) -> Figure:
    """Maps of item parts: one panel per model, one point per item and part.

    A part has a colour in each modality, and a modality has a marker. Distances between clusters
    of a t-SNE map mean little.

    Args:
        maps: label -> "modality/part" -> positions `[n_items, 2]`.
        n_columns: the largest number of panels in a row.
    """
    if not maps:
        return no_runs_yet()
    names = [name for positions in maps.values() for name in positions]
    modalities = list(dict.fromkeys(name.split("/")[0] for name in names))
    figure, all_axes = panels(len(maps), n_columns, width=2.4, height=2.3)
    for axes, (label, positions) in zip(all_axes, maps.items(), strict=True):
        axes.set(title=label, xticks=[], yticks=[])
        for name, points in positions.items():
            modality, part = name.split("/")
            number = modalities.index(modality)
            colour, marker = PART_COLOURS[part][number % 2], ".+x"[number % 3]
            axes.plot(*points.T, marker, color=colour, markersize=3, label=f"{part}, {modality}")
    outer_legend(figure, ncols=6, markerscale=2)
    return figure


@style()
def matrices(named: dict[str, np.ndarray]) -> Figure:
    """Small matrices with their entries written in; darker is larger, 0 is white.

    Args:
        named: title -> matrix `[n_rows, n_columns]`.
    """
    figure, all_axes = panels(len(named), len(named), width=1.9, height=2.2, margin=0)
    for axes, (name, matrix) in zip(all_axes, named.items(), strict=True):
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.2)
        axes.set(xticks=range(matrix.shape[1]), yticks=range(matrix.shape[0]))
        axes.tick_params(length=0, labelsize=6)
        axes.set_title(name, fontsize=8)
        for (row, column), value in np.ndenumerate(matrix):
            text = f"{value:.2f}".lstrip("0") if value else ""
            axes.text(column, row, text, ha="center", va="center", fontsize=6)
    return figure

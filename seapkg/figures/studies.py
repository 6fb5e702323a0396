"""Figures of the studies: gains, losses, sensitivity, costs, probes and maps of item parts.

Functions take a tidy table (or arrays) and return a Figure.
"""

from statistics import median_low

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAPER_LOOK,
    PURPLE,
    SKY,
    VERMILLION,
    arrows_outside,
    axis_label,
    facets,
    label_rows,
    outer_legend,
    panels,
    plot_means,
    style,
)

METRIC = axis_label("test/recall@20")
#: Factor -> colour, marker, vertical shift.
FACTOR_LOOKS = {
    "generic": (BLUE, "o", -0.15),
    "own unique": (VERMILLION, "s", 0),
    "other's unique": (BLACK, "x", 0.15),
}
PART_COLOURS = {"generic": (BLUE, SKY), "unique": (VERMILLION, ORANGE), "whole": (GREEN, PURPLE)}
FAR = 5  # a row that reaches beyond this multiple of the median row is not drawn to scale


@style()
def gain_panels(costs: pd.DataFrame) -> Figure:
    """What each change gains: one panel per dataset, one row per change, gains to the right.

    Black: the mean and its 95 % interval over users. Vermilion, below it: one point per seed and
    the 95 % interval over seeds. An arrow with a number replaces a row that lies far out, so that
    the other rows remain legible.

    Args:
        costs: the result of `tables.differences`, where a positive difference is a loss; columns
            `dataset, change, difference, by_seed`, and "low, users" to "high, seeds".
    """
    changes = list(costs["change"].unique())
    costs = costs.assign(row=costs["change"].map(changes.index))
    height = 1.0 + 0.32 * len(changes)
    figure, datasets = facets(costs, ["dataset"], width=3, height=height, sharey=True)
    for axes, _, rows in datasets:
        _gain_panel(axes, rows)
        label_rows(axes, changes)
    figure.supxlabel(f"gain in {METRIC} (right is better)")
    outer_legend(figure, "upper center")
    return figure


@style()
def loss_by_system(losses: pd.DataFrame) -> Figure:
    """What each system loses: one panel per dataset, one row per system, the largest loss on top.

    Black: the mean and its 95 % interval over users. Vermilion, below it: one point per seed and
    the 95 % interval over seeds. The title counts the significant losses; a single seed has none.

    Args:
        losses: the result of `tables.differences` with one change; columns `dataset, system,
            difference, by_seed, seeds, verdict`, and "low, users" to "high, seeds".
    """
    means = losses.groupby("system", sort=False)["difference"].mean()
    systems = list(means.sort_values(ascending=False, kind="stable").index)
    losses = losses.assign(row=losses["system"].map(systems.index))
    height = 1.2 + 0.32 * len(systems)
    figure, datasets = facets(losses, ["dataset"], width=4.5, height=height, sharey=True)
    for axes, (dataset,), rows in datasets:
        _means_and_seeds(axes, rows, sign=1)
        axes.axvline(0, color="0.7", linewidth=1, zorder=0)
        axes.set_title(_how_many_lose(dataset, rows))
        label_rows(axes, systems)
    figure.supxlabel(f"loss of {METRIC}")
    outer_legend(figure, "upper center")
    return figure


def _how_many_lose(dataset: str, losses: pd.DataFrame) -> str:
    if (losses["seeds"] < 2).any():
        return dataset
    n_losses = (losses["verdict"] == "loss").sum()
    return f"{dataset}: a significant loss for {n_losses} of {len(losses)} systems"


def _gain_panel(axes: Axes, costs: pd.DataFrame) -> None:
    _means_and_seeds(axes, costs, sign=-1)
    axes.axvline(0, color="0.7", linewidth=1, zorder=0)
    axes.locator_params(axis="x", nbins=3)
    axes.xaxis.set_major_formatter("{x:g}")  # longer or more labels would overlap
    reach = costs.filter(regex="^(difference|low|high)").abs().max(axis=1)
    span = 1.1 * reach[reach <= FAR * median_low(reach)].max()
    axes.set_xlim(-span, span)
    arrows_outside(axes, -costs.set_index("row")["difference"])


def _means_and_seeds(axes: Axes, costs: pd.DataFrame, sign: int) -> None:
    """Draws differences times `sign`, with both intervals and a point per seed."""
    axes.errorbar(
        sign * costs["difference"],
        costs["row"],
        xerr=costs["high, users"] - costs["difference"],
        fmt="o",
        color=BLACK,
        capsize=3,
        label="mean, 95 % over users",
    )
    ends = (sign * costs["high, seeds"], sign * costs["low, seeds"])
    axes.hlines(costs["row"] + 0.25, *ends, color=VERMILLION, linewidth=0.6)
    seeds = costs.explode("by_seed")
    label = "each seed, 95 % over seeds"
    axes.plot(sign * seeds["by_seed"], seeds["row"] + 0.25, ".", color=VERMILLION, label=label)


@style()
def sensitivity(table: pd.DataFrame, unchanged: dict[str, list[float]]) -> Figure:
    """Test Recall@20 against an option's value: one row per dataset, one panel per option.

    One point per seed, a line through the means, a ring around the default's points, and a grey
    band over the default's seeds. The values are sorted and evenly spaced.

    Args:
        table: columns `dataset, option, value` (a number), `is_default, seed, metric_value`.
        unchanged: dataset -> the default's Recall@20 at every available seed.
    """
    figure, places = facets(
        table,
        ["dataset", "option"],
        "{}: {}",
        n_columns=table["option"].nunique(),
        width=2.4,
        height=2.2,
        sharey="row",
    )
    for axes, (dataset, _), rows in places:
        if seeds := unchanged.get(dataset):
            axes.axhspan(min(seeds), max(seeds), color="0.9", zorder=0)
        _option_panel(axes, rows)
    figure.supylabel(METRIC)
    return figure


def _option_panel(axes: Axes, rows: pd.DataFrame) -> None:
    rows = rows.sort_values("value").astype({"value": str})  # categories are evenly spaced
    _points_and_means(axes, rows, "value", "metric_value", color=VERMILLION)
    default = rows[rows["is_default"]]
    axes.scatter(default["value"], default["metric_value"], 64, "none", edgecolor=BLACK)


def _points_and_means(axes: Axes, rows: pd.DataFrame, x: str, y: str, **look: str) -> None:
    means = rows.groupby(x, sort=False)[y].mean()
    axes.plot(means.index, means, alpha=0.7, **look)
    axes.plot(rows[x], rows[y], ".", color=look["color"])


@style()
def cost_points(table: pd.DataFrame) -> Figure:
    """Seconds per epoch (logarithmic) and peak memory (from 0), one row per system.

    Args:
        table: columns `system, seconds, memory_mb, paper_seconds`. The paper's seconds (nan where
            it has none) come from another machine and other features; compare proportions only.
    """
    places, height = range(len(table)), 0.9 + 0.25 * len(table)
    figure, (seconds, memory) = panels(2, width=3.2, height=height, sharey=True)
    for axes, column in ((seconds, "seconds"), (memory, "memory_mb")):
        axes.plot(table[column], places, "o", color=VERMILLION, label="measured")
    label = "the paper's seconds (its machine, its features)"
    seconds.plot(table["paper_seconds"], places, **PAPER_LOOK, label=label)
    seconds.set(xscale="log", xlabel="seconds per epoch")
    memory.set(xlabel="peak memory, MB")
    memory.set_xlim(left=0)
    label_rows(seconds, list(table["system"]))
    outer_legend(figure)
    return figure


@style()
def probe_panels(table: pd.DataFrame) -> Figure:
    """The R² of a linear probe for each factor: one panel per part, one row per method.

    Args:
        table: columns `method, part` ("generic" or "unique"), `factor` (a key of `FACTOR_LOOKS`),
            `seed, r2`. Whiskers are 95 % intervals over seeds.
    """
    methods = list(table["method"].unique())
    table = table.assign(row=table["method"].map(methods.index))
    height = 0.9 + 0.27 * len(methods)
    figure, parts = facets(table, ["part"], "{} part", width=3.5, height=height, sharey=True)
    for axes, _, rows in parts:
        axes.axvline(0, color="0.8", linewidth=1)
        for factor, (colour, marker, shift) in FACTOR_LOOKS.items():
            plot_means(
                axes,
                rows[rows["factor"] == factor],
                "r2",
                shift,
                fmt=marker,
                color=colour,
                capsize=2,
                label=factor,
            )
        label_rows(axes, methods)
    figure.supxlabel("R² of a linear probe")
    outer_legend(figure, "upper center", ncols=3, title="factor")
    return figure


@style()
def selectivity_by_share(table: pd.DataFrame) -> Figure:
    """Selectivity against the generic share: one panel per part, one line per method.

    Lines run through the means; seeds are points.

    Args:
        table: columns `method, part` ("generic" or "unique"), `seed, shared, selectivity`.
    """
    figure, parts = facets(table, ["part"], "{} part", width=3.5, height=2.6, sharey=True)
    for axes, _, rows in parts:
        methods = rows.sort_values("shared").groupby("method")
        for number, (method, seeds) in enumerate(methods):
            colour = f"C{number}"
            _points_and_means(axes, seeds, "shared", "selectivity", color=colour, label=method)
        axes.axhline(0, color="0.7", linewidth=1, zorder=0)
        axes.set_xlabel("share of a modality that is generic")
    figure.supylabel("selectivity (difference of R²)")
    outer_legend(figure, ncols=4)
    return figure


@style()
def part_maps(maps: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Maps of item parts: one panel per model, one point per item and part.

    A part has a colour in each modality, and a modality has a marker. Distances between clusters
    of a t-SNE map mean little.

    Args:
        maps: label -> "modality/part" -> positions `[n_items, 2]`.
    """
    names = [name.split("/")[0] for positions in maps.values() for name in positions]
    modalities = list(dict.fromkeys(names))
    figure, all_axes = panels(len(maps), 4, width=2.4, height=2.5)
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
    figure, all_axes = panels(len(named), len(named), width=1.9, height=2.2)
    for axes, (name, matrix) in zip(all_axes, named.items(), strict=True):
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.2)
        axes.set_title(name)
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6)
    return figure

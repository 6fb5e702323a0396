"""Figures of the studies in notebooks 04 to 11: what a change costs, what an option does, what a part knows."""

from collections.abc import Iterable
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seapkg.analysis.statistics import mean_interval
from seapkg.figures.main import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PAPER_LOOK,
    PURPLE,
    SKY,
    VERMILLION,
    axis_label,
    look,
    nothing_yet,
    paper_handle,
    style,
)


def cost_panels(table: pd.DataFrame, metric: str = "recall@20") -> Figure:
    """One panel a dataset, one row a change: the mean loss with its 95 % interval over users; below it, in red, a point
    a seed and the interval over seeds, where there are several.

    `table`: what `tables.costs_of_changes` gives. Right of zero the change costs something. A row `FAR` times as far
    out as any nearer one, half of them at most, is an arrow with its number: else the others could not be told apart.
    """
    datasets, changes = table["dataset"].unique(), table["change"].unique()
    if table.empty:
        return nothing_yet()
    with style():
        size = (1.2 + 2.3 * len(datasets), 0.9 + 0.32 * len(changes))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            _cost_panel(axes, table[table["dataset"] == dataset], list(changes))
            axes.set_title(dataset)
        panels[0].set_yticks(range(len(changes)), changes)
        panels[0].invert_yaxis()
        figure.supxlabel(
            f"what it costs in {axis_label(metric, 'test')}; left of 0 it helps", fontsize="medium"
        )
        figure.legend(*_cost_legend(), loc="outside upper center", ncols=min(2, len(datasets)))
    return figure


def _cost_panel(axes: Axes, table: pd.DataFrame, changes: list[str]) -> None:
    axes.axvline(0, color="0.7", linewidth=1)
    rows = table.to_dict("records")
    limit = _near(_reach(row) for row in rows)
    for row in rows:
        place = changes.index(row["change"])
        if _reach(row) > limit:
            _far_row(axes, row["difference"], place)
            continue
        half = row["high, users"] - row["difference"]
        axes.errorbar(row["difference"], place, xerr=half, color="black", marker="o", capsize=3)
        below = [place + 0.25] * len(row["by_seed"])
        axes.plot(row["by_seed"], below, ".", color=VERMILLION, markersize=3, clip_on=False)
        axes.plot(
            [row["low, seeds"], row["high, seeds"]],
            [place + 0.25] * 2,
            color=VERMILLION,
            linewidth=0.6,
        )
    axes.set_ylim(-0.5, len(changes) - 0.5)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=4)


def _cost_legend() -> tuple[list[Line2D], list[str]]:
    users = Line2D([], [], color="black", marker="o")
    seeds = Line2D([], [], color=VERMILLION, marker=".", markersize=3, linewidth=0.6)
    return [users, seeds], ["mean, 95 % over users", "each seed, 95 % over seeds"]


#: So many times as far from zero as every nearer row, a row is not drawn to scale.
FAR = 5


def _reach(row: dict) -> float:
    """How far from zero a row of costs goes, intervals and all."""
    names = ("difference", "low, users", "high, users", "low, seeds", "high, seeds")
    return float(np.nanmax(np.abs([*(row[name] for name in names), *row["by_seed"]])))


def _near(reaches: Iterable[float]) -> float:
    """The largest reach that is drawn to scale. At most half of the rows are not, the furthest ones."""
    ordered = sorted(reaches)
    for place in range(len(ordered) - 1, (len(ordered) - 1) // 2, -1):
        if ordered[place] > FAR * ordered[place - 1]:
            return ordered[place - 1]
    return ordered[-1]


def _far_row(axes: Axes, difference: float, place: int) -> None:
    right = difference > 0
    arrow = (
        "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
        if right
        else "\N{BLACK LEFT-POINTING SMALL TRIANGLE}"
    )
    text = f"{difference:.3f} {arrow}" if right else f"{arrow} {difference:.3f}"
    axes.annotate(text, (0.98 if right else 0.02, place), xycoords=("axes fraction", "data"),
                  ha="right" if right else "left", va="center", fontsize=7)  # fmt: skip


def sensitivity(
    table: pd.DataFrame, unchanged: dict[str, list[float]], metric: str = "recall@20"
) -> Figure:
    """One panel an option: test metric against its value, a line a dataset through the means, a point a seed.

    `table`: columns dataset, option, value (a number), is_default, seed, metric_value. The default's points are ringed;
    values stand at even distances, in rising order, whatever lies between them. Axes do not start at 0.
    `unchanged`: dataset -> the metric of the default at every seed there is; a grey band spans them.
    """
    options, datasets = table["option"].unique(), sorted(table["dataset"].unique())
    if table.empty:
        return nothing_yet()
    with style():
        figure = Figure(
            figsize=(0.6 + 2.3 * len(options), 2.0 * len(datasets) + 0.4), layout="constrained"
        )
        grid = figure.subplots(len(datasets), len(options), squeeze=False, sharey="row")
        for row, dataset in zip(grid, datasets, strict=True):
            row[0].set_ylabel(f"{axis_label(metric, 'test')}\n{dataset}")
            for axes, option in zip(row, options, strict=True):
                if unchanged.get(dataset):
                    axes.axhspan(
                        min(unchanged[dataset]), max(unchanged[dataset]), color="0.9", zorder=0
                    )
                _sensitivity_panel(
                    axes, table[(table["dataset"] == dataset) & (table["option"] == option)]
                )
        for axes, option in zip(grid[-1], options, strict=True):
            axes.set_xlabel(option.replace("_", " "))
    return figure


def _sensitivity_panel(axes: Axes, rows: pd.DataFrame) -> None:
    values = sorted(rows["value"].unique())
    means = rows.groupby("value")["metric_value"].mean()
    axes.plot(range(len(values)), means[values], color=VERMILLION, alpha=0.6)
    axes.plot(rows["value"].map(values.index), rows["metric_value"], "o", color=VERMILLION)
    default = rows[rows["is_default"]]
    axes.plot(default["value"].map(values.index), default["metric_value"], "o", color="none", markeredgecolor="black",
              markersize=8)  # fmt: skip
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])


def cost_points(table: pd.DataFrame) -> Figure:
    """Two panels, a row a system: seconds an epoch, on a logarithmic axis, and peak memory, from 0.

    `table`: columns system, seconds, memory_mb, and the paper's seconds as paper_seconds (nan where it has none), which
    were measured on another machine and other data: hollow diamonds, for their proportions.
    """
    systems = list(table["system"])
    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.25 * len(systems)), layout="constrained")
        seconds, memory = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(table.to_dict("records")):
            colour, marker = look(row["system"])
            seconds.plot(row["seconds"], place, marker, color=colour)
            seconds.plot(row["paper_seconds"], place, **PAPER_LOOK)
            memory.plot(row["memory_mb"], place, marker, color=colour)
        seconds.set(xscale="log", xlabel="seconds an epoch")
        memory.set(xlabel="peak memory, MB")
        memory.set_xlim(left=0)
        seconds.set_yticks(range(len(systems)), systems)
        seconds.invert_yaxis()
        for axes in (seconds, memory):
            axes.grid(axis="x", which="both", linewidth=0.3)
        handles, _ = paper_handle()
        figure.legend(
            handles, ["the paper's seconds (its machine, its features)"], loc="outside lower center"
        )
    return figure


#: What a probe looks for: colour and marker.
FACTOR_LOOKS = {
    "generic": (BLUE, "o"),
    "own unique": (VERMILLION, "s"),
    "other's unique": (BLACK, "x"),
}


def probe_panels(table: pd.DataFrame) -> Figure:
    """A panel a part, a row a method: the R² with which each factor can be told from it, 95 % intervals over seeds.

    `table`: columns method, part ("generic" or "unique"), factor (a name in `FACTOR_LOOKS`), seed and r2.
    """
    methods = list(table["method"].unique())
    with style():
        figure = Figure(figsize=(7.0, 0.9 + 0.27 * len(methods)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        for axes, part in zip(panels, ("generic", "unique"), strict=True):
            _probe_panel(axes, table[table["part"] == part], methods)
            axes.set_title(f"{part} part")
        panels[0].set_yticks(range(len(methods)), methods)
        panels[0].invert_yaxis()
        figure.supxlabel("R² of a linear probe", fontsize="medium")
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=3,
            title="factor",
        )
    return figure


def selectivity_by_share(table: pd.DataFrame) -> Figure:
    """A panel a part: selectivity against the generic share, a line a method through the means, a point a seed.

    `table`: columns method, part ("generic" or "unique"), seed, shared and selectivity.
    """
    with style():
        figure = Figure(figsize=(7.0, 2.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        for axes, part in zip(panels, ("generic", "unique"), strict=True):
            own = table[table["part"] == part]
            for (method, rows), colour in zip(
                own.groupby("method", sort=False), cycle(SHARE_COLOURS), strict=False
            ):
                means = rows.groupby("shared")["selectivity"].mean()
                axes.plot(rows["shared"], rows["selectivity"], ".", color=colour, alpha=0.5)
                axes.plot(means.index, means, color=colour, label=method)
            axes.axhline(0, color="0.7", linewidth=1, zorder=0)
            axes.set(title=f"{part} part", xlabel="share of a modality that is generic")
        panels[0].set_ylabel("selectivity (difference of R²)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


SHARE_COLOURS = (BLUE, VERMILLION, ORANGE, BLACK, GREEN, PURPLE, SKY)


def _probe_panel(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    axes.axvline(0, color="0.8", linewidth=1)
    for shift, (factor, (colour, marker)) in zip(
        (-0.15, 0, 0.15), FACTOR_LOOKS.items(), strict=True
    ):
        groups = table[table["factor"] == factor].groupby("method")["r2"]
        intervals = {method: mean_interval(values) for method, values in groups}
        places = [methods.index(method) + shift for method in intervals]
        means = [interval.mean for interval in intervals.values()]
        halves = [
            interval.half_width for interval in intervals.values()
        ]  # nan, and not drawn, for a single seed
        axes.errorbar(
            means,
            places,
            xerr=halves,
            color=colour,
            marker=marker,
            linestyle="none",
            capsize=2,
            label=factor,
        )


PART_COLOURS = {"generic": (BLUE, SKY), "unique": (VERMILLION, ORANGE), "whole": (GREEN, PURPLE)}


def part_maps(maps: dict[str, dict[str, np.ndarray]], n_columns: int = 4) -> Figure:
    """One panel a model: a point an item and part. `maps`: label -> "modality/part" -> places [n, 2].

    A part has a colour for each modality, which has its own marker. Distances between clusters mean little in a t-SNE.
    """
    if not maps:
        return nothing_yet()
    n_rows = -(-len(maps) // n_columns)
    with style():
        figure = Figure(
            figsize=(2.4 * min(len(maps), n_columns), 0.5 + 2.3 * n_rows), layout="constrained"
        )
        panels = figure.subplots(n_rows, min(len(maps), n_columns), squeeze=False).flatten()
        handles, modalities = (
            {},
            list(dict.fromkeys(name.split("/")[0] for places in maps.values() for name in places)),
        )
        for axes, (label, places) in zip(panels, maps.items(), strict=False):
            handles |= _part_map(axes, places, modalities)
            axes.set_title(label)
        for axes in panels[len(maps) :]:
            axes.set_axis_off()
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=6, markerscale=2
        )
    return figure


def _part_map(
    axes: Axes, places: dict[str, np.ndarray], modalities: list[str]
) -> dict[str, object]:
    handles = {}
    for name, points in places.items():
        modality, kind = name.split("/")
        nth = modalities.index(modality)
        colour = PART_COLOURS[kind][nth % 2]
        (handle,) = axes.plot(
            *points.T, ".+x"[nth % 3], color=colour, markersize=3, linestyle="none"
        )
        handles[f"{kind}, {modality}"] = handle
    axes.set_xticks([])
    axes.set_yticks([])
    return handles


def matrices(named: dict[str, np.ndarray]) -> Figure:
    """One panel a small matrix [rows, columns], its entries written in; darker is larger, 0 is left white."""
    with style():
        figure = Figure(figsize=(1.9 * len(named), 2.2), layout="constrained")
        for axes, (name, matrix) in zip(
            figure.subplots(1, len(named), squeeze=False)[0], named.items(), strict=True
        ):
            axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.2)
            for (row, column), value in np.ndenumerate(matrix):
                if value:
                    axes.text(
                        column,
                        row,
                        f"{value:.2f}".lstrip("0"),
                        ha="center",
                        va="center",
                        fontsize=6,
                    )
            axes.set(xticks=range(matrix.shape[1]), yticks=range(matrix.shape[0]))
            axes.tick_params(length=0, labelsize=6)
            axes.set_title(name, fontsize=8)
    return figure

"""Figures of notebook 02: bounds of mutual information. Tidy tables in, a Figure out."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures import main
from seapkg.figures.main import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION

#: Estimate -> colour, marker, line.
LOOKS = {
    "CLUB, true conditional": (BLACK, "", ":"),
    "CLUB fitted, wide q": (BLUE, "o", "-"),
    "CLUB fitted, published q": (GREEN, "s", "-"),
    "CLUB fitted on other pairs": (VERMILLION, "v", "--"),
    "InfoNCE": (PURPLE, "D", "-."),
}


def bounds(table: pd.DataFrame) -> Figure:
    """Each estimate against the truth, one panel a dimension; above the grey diagonal is an upper bound.

    `table`: one row an estimate, columns `dim`, `truth`, `estimate` (a name in `LOOKS`) and `value`, in nats.
    """
    dimensions = sorted(table["dim"].unique())
    with main.style():
        rows = -(-len(dimensions) // 3)
        columns = -(-len(dimensions) // rows)  # four panels stand two by two
        figure = Figure(figsize=(7.0, 2.3 * rows + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, dim in zip(grid.flat, dimensions, strict=False):
            _bounds_panel(axes, table[table["dim"] == dim], f"dimension {dim}")
        for axes in grid.flat[len(dimensions) :]:
            axes.set_visible(False)
        grid[0, 0].set_yscale("symlog", linthresh=1)
        grid[0, 0].set_ylim(-0.5, 1e4)
        figure.supxlabel("true mutual information, nats", fontsize="medium")
        figure.supylabel("estimate, nats", fontsize="medium")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _bounds_panel(axes: Axes, table: pd.DataFrame, title: str) -> None:
    truth = np.sort(table["truth"].unique())
    axes.plot(truth, truth, color="0.7", linewidth=3, label="the truth")
    _lines(axes, table, "truth")
    axes.set_title(title)


def by_correlation(table: pd.DataFrame, dim: int) -> Figure:
    """Estimates against the correlation ρ of the two parts, whose sign does not matter to the truth.

    `table`: one row an estimate, columns `rho`, `truth`, `estimate` (a name in `LOOKS`) and `value`, in nats.
    """
    with main.style():
        figure = Figure(figsize=(4.6, 3.0), layout="constrained")
        axes = figure.subplots()
        truth = table.drop_duplicates("rho").sort_values("rho")
        axes.plot(truth["rho"], truth["truth"], color="0.7", linewidth=3, label="the truth")
        _lines(axes, table, "rho")
        low, high = axes.get_ylim()
        axes.axhspan(
            low, 0, color=SKY, alpha=0.25, linewidth=0, label="cut off by the released clamp"
        )
        axes.axhline(0, color=ORANGE, linewidth=0.8)
        axes.set(
            ylim=(low, high), xlabel=f"correlation ρ of generic and unique part, dimension {dim}"
        )
        axes.set_ylabel("nats")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return figure


def _lines(axes: Axes, table: pd.DataFrame, x: str) -> None:
    for name, (colour, marker, line) in LOOKS.items():
        own = table[table["estimate"] == name].sort_values(x)
        if len(own):
            axes.plot(own[x], own["value"], color=colour, marker=marker, linestyle=line, label=name)

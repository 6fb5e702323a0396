"""Figures of bounds of mutual information. Functions take a tidy table and return a Figure."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    outer_legend,
    panels,
    plot_groups,
    style,
)

#: Estimate -> colour, marker, line.
LOOKS = {
    "CLUB, true conditional": (BLACK, "", ":"),
    "CLUB fitted, wide q": (BLUE, "o", "-"),
    "CLUB fitted, published q": (GREEN, "s", "-"),
    "CLUB fitted on other pairs": (VERMILLION, "v", "--"),
    "InfoNCE": (PURPLE, "D", "-."),
}


@style()
def bounds(table: pd.DataFrame) -> Figure:
    """Estimates against the truth, one panel per dimension; upper bounds lie above the grey line.

    Args:
        table: one row per estimate; columns `dim, truth, estimate` (a key of `LOOKS`), `value`;
            in nats.
    """
    dimensions = sorted(table["dim"].unique())
    n_columns = 2 if len(dimensions) == 4 else 3
    size = {"width": 7.0 / n_columns, "height": 2.3}
    figure, all_axes = panels(len(dimensions), n_columns, **size, sharex=True, sharey=True)
    for axes, dim in zip(all_axes, dimensions, strict=True):
        _against(axes, table[table["dim"] == dim], "truth")
        axes.set_title(f"dimension {dim}")
    all_axes[0].set_yscale("symlog", linthresh=1)
    all_axes[0].set_ylim(-0.5, 1e4)
    figure.supxlabel("true mutual information, nats")
    figure.supylabel("estimate, nats")
    outer_legend(figure, "upper center", ncols=3)
    return figure


@style()
def by_correlation(table: pd.DataFrame, dim: int) -> Figure:
    """Estimates against the correlation ρ of the two parts; the truth does not depend on its sign.

    Args:
        table: one row per estimate; columns `rho, truth, estimate` (a key of `LOOKS`), `value`;
            in nats.
        dim: the dimension of the parts.
    """
    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axes = figure.subplots()
    _against(axes, table, "rho")
    low, high = axes.get_ylim()
    label = "set to 0 by the released clamp"
    axes.axhspan(low, 0, color=SKY, alpha=0.25, linewidth=0, label=label)
    axes.axhline(0, color=ORANGE, linewidth=0.8)
    axes.set_ylim(low, high)
    axes.set_xlabel(f"correlation ρ of generic and unique part, dimension {dim}")
    axes.set_ylabel("nats")
    outer_legend(figure, "right center")
    return figure


def _against(axes: Axes, table: pd.DataFrame, x: str) -> None:
    truth = table.drop_duplicates(x).sort_values(x)
    axes.plot(truth[x], truth["truth"], color="0.7", linewidth=3, label="the truth")
    plot_groups(axes, table, x, "value", "estimate", LOOKS)

"""Figures of bounds of mutual information. Functions take a tidy table and return a Figure."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    PURPLE,
    SKY,
    VERMILLION,
    facets,
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
    size = {"width": 3.5, "height": 2.5}
    figure, dimensions = facets(table, ["dim"], "dimension {}", n_columns=2, **size, sharey=True)
    for axes, _, rows in dimensions:
        _against(axes, rows, "truth")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-0.5, 1e4)
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
    figure, (axes,) = panels(1, width=4.6, height=3.0)
    _against(axes, table, "rho")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)  # the shade does not move the limits
    label = "set to 0 by the released clamp"
    axes.axhspan(low, 0, color=SKY, alpha=0.25, linewidth=0, label=label)
    axes.set(xlabel=f"correlation ρ of generic and unique part, dimension {dim}", ylabel="nats")
    outer_legend(figure, "right center")
    return figure


def _against(axes: Axes, table: pd.DataFrame, x: str) -> None:
    truth = table.drop_duplicates(x).sort_values(x)
    axes.plot(truth[x], truth["truth"], color="0.7", linewidth=3, label="the truth")
    plot_groups(axes, table, x, "value", "estimate", LOOKS)

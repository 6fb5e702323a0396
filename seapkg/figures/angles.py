"""Figures of the angle between random vectors. Functions take a tidy table and return a Figure."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.analysis.angles import angle_density
from seapkg.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    facets,
    outer_legend,
    panels,
    plot_groups,
    style,
)

#: Form of the variance -> colour, marker, line.
FORMS = {
    "exact": (BLACK, "", "-"),
    "1/n": (ORANGE, "v", "none"),
    "1/(n-1)": (GREEN, "s", "none"),
    "1/(n-2)": (VERMILLION, "^", "none"),
    "simulation": (BLUE, ".", "none"),
}
KINDS = [(BLUE, "o", "-"), (ORANGE, "v", "--"), (VERMILLION, "s", "-."), (PURPLE, "D", ":")]
THETA = np.linspace(0, np.pi, 361)


@style()
def densities(samples: pd.DataFrame) -> Figure:
    """Simulated angles and the density of Theorem 1, one panel per dimension.

    Args:
        samples: one row per angle; columns `n` and `angle` (radians).
    """
    figure, dimensions = facets(samples, ["n"], "n = {}", width=2.3, height=2.1, sharey="row")
    for axes, (n,), rows in dimensions:
        _histogram(axes, rows["angle"], color=SKY, label="simulation")
        axes.plot(THETA, angle_density(THETA, n), color=BLACK, label="Theorem 1")
    figure.supxlabel("angle θ between two random vectors")
    figure.supylabel("density per radian")
    outer_legend(figure, "upper center", ncols=2)
    return figure


@style()
def variances(table: pd.DataFrame) -> Figure:
    """The variance of the angle by dimension, and the errors of its simple forms.

    Args:
        table: one row per dimension and form; columns `n`, `form` ("exact", "simulation" and the
            names of `analysis.angles.simple_variances`) and `variance` (radians²). Infinite
            variances are left out.
    """
    table = table[np.isfinite(table["variance"])]
    exact = table[table["form"] == "exact"].set_index("n")["variance"]
    errors = 100 * (table["variance"] / table["n"].map(exact) - 1).abs()
    simple = table.assign(error=errors)[table["form"].str.startswith("1/")]
    figure, (left, right) = panels(2, width=3.5, height=3.0)
    left.set_ylabel("variance of θ (radians²)")
    right.set_ylabel("error of the form (% of exact)")
    for axes, rows, y in ((left, table, "variance"), (right, simple, "error")):
        plot_groups(axes, rows, "n", y, "form", FORMS, markersize=5, markerfacecolor="none")
        _dimension_axis(axes)
    outer_legend(figure, ncols=5)
    return figure


@style()
def departures(angles: pd.DataFrame, spread: pd.DataFrame, n: int) -> Figure:
    """Vectors that break an assumption of Theorem 1 beside vectors that meet both.

    Args:
        angles: one row per pair of `n`-dimensional vectors; columns `vectors` (their kind) and
            `angle` (radians).
        spread: one row per kind and dimension; columns `vectors, n, mean_square_cosine` and
            `effective_dimension` (not finite where no line is wanted).
        n: the dimension of the vectors in `angles`.
    """
    figure, (left, right) = panels(2, width=3.5, height=3.4)
    left.fill_between(THETA, angle_density(THETA, n), color="0.85", label="Theorem 1")
    kinds = spread.groupby("vectors", sort=False)
    for (kind, rows), (colour, marker, line) in zip(kinds, KINDS, strict=False):
        sample = angles.loc[angles["vectors"] == kind, "angle"]
        _histogram(left, sample, histtype="step", color=colour, linestyle=line)
        right.plot(rows["n"], rows["mean_square_cosine"], marker, color=colour)
        right.plot(rows["n"], 1 / rows["effective_dimension"], line, color=colour)
        right.plot([], [], marker + line, color=colour, label=kind)
    left.set(xlabel=f"angle θ, n = {n}", ylabel="density per radian")
    right.set_ylabel("mean of cos² θ")
    _dimension_axis(right)
    outer_legend(figure, ncols=3)
    return figure


def _histogram(axes: Axes, angles: pd.Series, **look: str) -> None:
    axes.hist(angles, bins=90, range=(0, np.pi), density=True, **look)
    axes.set_xlim(0, np.pi)
    axes.set_xticks(np.linspace(0, np.pi, 5), ["0°", "45°", "90°", "135°", "180°"])


def _dimension_axis(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(yscale="log", xlabel="dimension n")

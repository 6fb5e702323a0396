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
}
KINDS = [(BLUE, "o", "-"), (ORANGE, "v", "--"), (VERMILLION, "s", "-."), (PURPLE, "D", ":")]
THETA = np.linspace(0, np.pi, 361)


@style()
def densities(samples: pd.DataFrame) -> Figure:
    """Simulated angles and the density of Theorem 1, one panel per dimension.

    Args:
        samples: one row per angle; columns `n` and `angle` (radians).
    """
    dimensions = sorted(samples["n"].unique())
    size = {"width": 2.3, "height": 1.9}
    figure, all_axes = panels(len(dimensions), 3, **size, sharex=True, sharey="row")
    for axes, n in zip(all_axes, dimensions, strict=True):
        angles = samples.loc[samples["n"] == n, "angle"]
        _histogram(axes, angles, bins=60, color=SKY, label="simulation")
        axes.plot(THETA, angle_density(THETA, n), color=BLACK, label="Theorem 1")
        axes.set_title(f"n = {n}")
    figure.supxlabel("angle θ between two random vectors")
    figure.supylabel("density per radian")
    outer_legend(figure, "upper center", ncols=2)
    return figure


@style()
def variances(table: pd.DataFrame) -> Figure:
    """The variance of the angle by dimension, and the errors of its simple forms.

    Args:
        table: one row per dimension and form; columns `n`, `form` ("exact", "simulation" and the
            names of `analysis.angles.simple_variances`), `variance` (radians²) and `interval`
            (half the 95 % interval, simulation only). Infinite variances are left out.
    """
    table = table[np.isfinite(table["variance"])]
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    hollow = {"markersize": 5, "markerfacecolor": "none"}
    plot_groups(left, table, "n", "variance", "form", FORMS, **hollow)
    simulated = table[table["form"] == "simulation"]
    whiskers = {"yerr": simulated["interval"], "fmt": "o", "markersize": 2.5, "capsize": 2}
    left.errorbar(simulated["n"], simulated["variance"], **whiskers, color=BLUE, label="simulation")
    exact = table[table["form"] == "exact"].set_index("n")["variance"]
    errors = 100 * (table["variance"] / table["n"].map(exact) - 1).abs()
    simple_forms = {form: FORMS[form] for form in FORMS if form != "exact"}
    plot_groups(right, table.assign(error=errors), "n", "error", "form", simple_forms, **hollow)
    left.set_ylabel("variance of θ (radians²)")
    right.set_ylabel("error of the form (% of exact)")
    for axes in (left, right):
        _dimension_axis(axes, table["n"])
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
    looks = dict(zip(angles["vectors"].unique(), KINDS, strict=False))
    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.fill_between(THETA, angle_density(THETA, n), color="0.85", label="Theorem 1")
    for kind, (colour, marker, line) in looks.items():
        sample = angles.loc[angles["vectors"] == kind, "angle"]
        _histogram(left, sample, bins=90, histtype="step", color=colour, linestyle=line)
        rows = spread[spread["vectors"] == kind]
        right.plot(rows["n"], rows["mean_square_cosine"], marker, color=colour)
        right.plot(rows["n"], 1 / rows["effective_dimension"], line, color=colour)
        right.plot([], [], marker + line, color=colour, label=kind)
    left.set(xlabel=f"angle θ, n = {n}", ylabel="density per radian")
    right.set_ylabel("mean of cos² θ")
    _dimension_axis(right, spread["n"])
    right.set_ylim(top=1)  # the largest possible squared cosine
    outer_legend(figure, ncols=3)
    return figure


def _histogram(axes: Axes, angles: pd.Series, **look) -> None:
    axes.hist(angles, range=(0, np.pi), density=True, **look)
    axes.set_xlim(0, np.pi)
    axes.set_xticks(np.linspace(0, np.pi, 5), ["0°", "45°", "90°", "135°", "180°"])


def _dimension_axis(axes: Axes, dimensions: pd.Series) -> None:
    axes.set(xscale="log", yscale="log", xlabel="dimension n")
    ticks = sorted(set(dimensions) - {3})  # 3 would touch its neighbours
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)

"""Figures of notebook 01: the angle between random vectors. Tidy tables in, a Figure out."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures import main
from seapkg.figures.main import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION

FORMS = {"1/n": (ORANGE, "v"), "1/(n-1)": (GREEN, "s"), "1/(n-2)": (VERMILLION, "^")}
KINDS = [(BLUE, "o", "-"), (ORANGE, "v", "--"), (VERMILLION, "s", "-."), (PURPLE, "D", ":")]


def densities(samples: pd.DataFrame) -> Figure:
    """Histogram of simulated angles and the density of Theorem 1, one panel a dimension.

    `samples`: one row an angle, columns `n` and `angle` (radians).
    """
    dimensions = sorted(samples["n"].unique())
    with main.style():
        columns = min(3, len(dimensions))
        rows = -(-len(dimensions) // columns)
        figure = Figure(figsize=(2.3 * columns, 1.9 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
        for axes, n in zip(grid.flat, dimensions, strict=False):  # panels may be left over
            _density_panel(axes, samples.loc[samples["n"] == n, "angle"], n)
        for axes in grid.flat[len(dimensions) :]:
            axes.set_visible(False)
        figure.supxlabel("angle θ between two random vectors", fontsize="medium")
        figure.supylabel("density per radian", fontsize="medium")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def variances(table: pd.DataFrame) -> Figure:
    """Variance of the angle by dimension, and how far each simple form is from the exact one.

    `table`: one row a dimension and form, columns `n`, `form` ("exact", "simulation" and the
    names of `angles.simple_variances`), `variance` (radians²) and `interval` (half of the 95 %
    interval, simulation only). Forms that are not finite are left out.
    """
    table = table[np.isfinite(table["variance"])]
    wide = table.pivot(index="n", columns="form", values="variance")
    with main.style():
        figure = Figure(figsize=(7.0, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        _variance_panel(left, table, wide)
        _error_panel(right, wide)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def departures(angles: pd.DataFrame, spread: pd.DataFrame, n: int) -> Figure:
    """Vectors that break an assumption of Theorem 1, beside vectors that keep both.

    `angles`: one row a pair of `n`-dimensional vectors, columns `vectors` (which kind) and
    `angle` (radians). `spread`: one row a kind and dimension, columns `vectors`, `n`,
    `mean_square_cosine` and `effective_dimension` (not finite where no line is wanted).
    """
    looks = dict(zip(angles["vectors"].unique(), KINDS, strict=False))
    with main.style():
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _kinds_panel(left, angles, n, looks)
        _spread_panel(right, spread, looks)
        handles, labels = right.get_legend_handles_labels()
        theorem, name = left.get_legend_handles_labels()
        figure.legend(handles + theorem, labels + name, loc="outside lower center", ncols=3)
    return figure


def _density_panel(axes: Axes, angles: pd.Series, n: int) -> None:
    theta = np.linspace(0, np.pi, 361)
    axes.hist(angles, bins=60, range=(0, np.pi), density=True, color=SKY, label="simulation")
    axes.plot(theta, angles.angle_density(theta, n), color=BLACK, linewidth=1.2, label="Theorem 1")
    axes.set_title(f"n = {n}")
    _degrees(axes)


def _variance_panel(axes: Axes, table: pd.DataFrame, wide: pd.DataFrame) -> None:
    axes.plot(wide.index, wide["exact"], color=BLACK, linewidth=1.2, label="exact")
    for form, (colour, marker) in FORMS.items():
        axes.plot(
            wide.index,
            wide[form],
            linestyle="none",
            marker=marker,
            markersize=5,
            markerfacecolor="none",
            color=colour,
            label=form,
        )
    simulated = table[table["form"] == "simulation"]
    axes.errorbar(
        simulated["n"],
        simulated["variance"],
        yerr=simulated["interval"],
        fmt="o",
        markersize=2.5,
        color=BLUE,
        capsize=2,
        label="simulation",
    )
    axes.set_ylabel("variance of θ (radians²)")
    _dimension_axis(axes, wide.index)
    axes.set_yscale("log")


def _error_panel(axes: Axes, wide: pd.DataFrame) -> None:
    for form, (colour, marker) in FORMS.items():
        percent = 100 * (wide[form] / wide["exact"] - 1).abs()
        axes.plot(
            wide.index, percent, marker=marker, markersize=5, markerfacecolor="none", color=colour
        )
    axes.set_ylabel("error of the form (% of exact)")
    _dimension_axis(axes, wide.index)
    axes.set_yscale("log")


def _kinds_panel(axes: Axes, angles: pd.DataFrame, n: int, looks: dict) -> None:
    theta = np.linspace(0, np.pi, 361)
    axes.fill_between(theta, angles.angle_density(theta, n), color="0.85", label="Theorem 1")
    for kind, (colour, _, line) in looks.items():
        axes.hist(
            angles.loc[angles["vectors"] == kind, "angle"],
            bins=90,
            range=(0, np.pi),
            density=True,
            histtype="step",
            color=colour,
            linestyle=line,
            linewidth=1.2,
        )
    axes.set_xlabel(f"angle θ, n = {n}")
    axes.set_ylabel("density per radian")
    _degrees(axes)


def _spread_panel(axes: Axes, spread: pd.DataFrame, looks: dict) -> None:
    for kind, (colour, marker, line) in looks.items():
        rows = spread[spread["vectors"] == kind]
        axes.plot(
            rows["n"],
            rows["mean_square_cosine"],
            marker=marker,
            markersize=5,
            linestyle="none",
            color=colour,
        )
        axes.plot(rows["n"], 1 / rows["effective_dimension"], color=colour, linestyle=line)
        axes.plot([], [], marker=marker, linestyle=line, color=colour, label=kind)
    axes.set_ylabel("mean of cos² θ")
    _dimension_axis(axes, spread["n"])
    axes.set_yscale("log")
    axes.set_ylim(top=1)  # the largest value a squared cosine can have


def _degrees(axes: Axes) -> None:
    axes.set_xlim(0, np.pi)
    axes.set_xticks(np.linspace(0, np.pi, 5), ["0°", "45°", "90°", "135°", "180°"])


def _dimension_axis(axes: Axes, dimensions) -> None:
    axes.set_xscale("log", base=2)
    ticks = sorted({int(n) for n in dimensions if n != 3})  # 3 would touch its neighbours
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("dimension n")

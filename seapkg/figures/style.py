"""The style of all figures: sizes, colours, and the look of each system."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import matplotlib
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.analysis.statistics import mean_interval
from seapkg.models.registry import COLOURS, systems

BLACK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = COLOURS.values()

RC = {
    "figure.dpi": 150,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
    "font.size": 8.0,
    "axes.prop_cycle": cycler(color=COLOURS.values()),
    "axes.titlesize": 8.0,
    "figure.labelsize": 8.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "svg.hashsalt": "seapkg",
}

#: A number of the paper is a hollow black diamond in every figure.
PAPER_LOOK = {"marker": "D", "markerfacecolor": "white", "color": BLACK, "linestyle": "none"}


@contextmanager
def style() -> Iterator[None]:
    """Applies the figure style, regardless of the user's settings; also a decorator."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def look(label: str) -> tuple[str, str]:
    """The colour and marker of a system, the same in every figure.

    Args:
        label: a system's name, with or without a formulation or options: "sea (released)" looks
            like "sea". A name that is not registered is a black circle.
    """
    known = systems().get(re.split("[ ,(]", label.lower())[0])
    return known.look if known else (BLACK, "o")


def axis_label(metric: str) -> str:
    """A metric in words: "test/recall@20" is "Recall@20, test", and "loss" is "loss"."""
    split, _, name = metric.rpartition("/")
    words = name.replace("recall", "Recall").replace("ndcg", "NDCG")
    return f"{words}, {split}" if split else words


def panels(
    n: int, n_columns: int = 3, *, width: float, height: float, **shared: object
) -> tuple[Figure, list[Axes]]:
    """A figure with `n` panels in rows of `n_columns`; the last row may be shorter.

    Args:
        n: the number of panels; for 0 the figure says that no runs are finished.
        n_columns: the largest number of panels in a row.
        width, height: inches of figure per panel.
        shared: `sharex` and `sharey` of `Figure.subplots`.
    """
    if n == 0:
        figure = Figure(figsize=(3.5, 0.6))
        figure.suptitle("no finished runs yet")
        return figure, []
    n_columns = min(n, n_columns)
    n_rows = math.ceil(n / n_columns)
    figure = Figure(figsize=(width * n_columns, height * n_rows))
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for empty in axes[n:]:
        empty.set_visible(False)
    return figure, axes[:n]


def facets(
    table: pd.DataFrame, columns: list[str], title: str = "{}", **layout: object
) -> tuple[Figure, list[tuple[Axes, tuple, pd.DataFrame]]]:
    """A figure with one titled panel per combination of the values of some columns.

    Args:
        table: the rows of all panels.
        columns: names of columns; panels follow the table's order, the last column fastest.
        title: of a panel, with its values at the braces.
        layout: the options of `panels`.

    Returns:
        The figure; and for each panel its axes, its values and its rows.
    """
    places = list(product(*(table[column].unique() for column in columns)))
    figure, all_axes = panels(len(places), **layout)
    facets = []
    for axes, place in zip(all_axes, places, strict=True):
        axes.set_title(title.format(*place))
        rows = table[(table[columns] == list(place)).all(axis=1)]
        facets.append((axes, place, rows))
    return figure, facets


def plot_means(axes: Axes, table: pd.DataFrame, value: str, shift: float, **look) -> None:
    """Draws the mean of a column and its 95 % interval, for each place on the vertical axis.

    Args:
        axes: the panel.
        table: one row per value; column `row`, its place, and the column `value`.
        value: the name of a column.
        shift: added to all places.
        look: further options of `Axes.errorbar`.
    """
    values = table.groupby("row")[value]
    half_widths = values.agg(lambda group: mean_interval(group).half_width)
    means = values.mean()
    axes.errorbar(means, means.index + shift, xerr=half_widths, **look)


def plot_groups(
    axes: Axes, table: pd.DataFrame, x: str, y: str, by: str, looks: dict[str, tuple], **more
) -> None:
    """Plots column `y` against `x`, one line per value of column `by`.

    Args:
        looks: value of `by` -> colour, marker and line style.
        more: further options of `Axes.plot`.
    """
    for name, rows in table.sort_values(x).groupby(by):
        colour, marker, line = looks[name]
        axes.plot(
            rows[x],
            rows[y],
            color=colour,
            marker=marker,
            linestyle=line,
            label=name,
            **more,
        )


def arrows_outside(axes: Axes, values: pd.Series) -> None:
    """Writes each number that lies outside a panel at its edge, with an arrow.

    Args:
        axes: the panel, with its final limits.
        values: place on the vertical axis -> number on the horizontal axis.
    """
    left, right = axes.get_xlim()
    for row, value in values.items():
        if value < left:
            axes.text(left, row, f" ◂ {value:.3f}", va="center", ha="left")
        if value > right:
            axes.text(right, row, f"{value:.3f} ▸ ", va="center", ha="right")


def label_rows(axes: Axes, names: list[str]) -> None:
    """Names the rows of a panel, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def outer_legend(figure: Figure, place: str = "lower center", **options) -> None:
    """A legend outside the panels, with each label once."""
    handles = {}
    for axes in figure.axes:
        shown, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, shown, strict=True))
    figure.legend(handles.values(), handles.keys(), loc=f"outside {place}", **options)

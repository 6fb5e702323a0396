"""The style of all figures: sizes, colours, and the look of each system."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seapkg.models.registry import COLOURS, MARKERS, systems

BLACK, BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = COLOURS.values()

RC = {
    "figure.figsize": (3.5, 2.5),
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 8.0,
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
SEA_VARIANTS = ("seaa", "seab", "seac", "sead")


@contextmanager
def style() -> Iterator[None]:
    """The figure style, whatever the user's matplotlib settings are; also a decorator."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def look(label: str) -> tuple[str, str]:
    """The colour and marker of a system, the same in every figure.

    Args:
        label: a system's name, with or without a formulation or options: "sea (released)" looks
            like "sea", and so do the variants "SEAa" to "SEAd". The look of a name that is not
            registered depends on the name alone.
    """
    name = re.split(r"[ ,(]", label.lower())[0]
    name = "sea" if name in SEA_VARIANTS else name
    if name in systems():
        return systems()[name].look
    number = crc32(name.encode())
    return list(COLOURS.values())[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def axis_label(metric: str, split: str = "") -> str:
    """A metric in words: "test/recall@20" is "Recall@20, test", and "loss" is "loss"."""
    prefix, _, name = metric.rpartition("/")
    words = name.replace("recall", "Recall").replace("ndcg", "NDCG")
    return ", ".join(filter(None, [words, prefix or split]))


def panels(
    n: int, n_columns: int, *, width: float, height: float, margin: float = 0.5, **shared: str
) -> tuple[Figure, list[Axes]]:
    """A figure with `n` panels in rows of `n_columns`; the last row may be shorter.

    Args:
        n: the number of panels.
        n_columns: the largest number of panels in a row.
        width, height: of a panel, in inches.
        margin: the height left for legends and labels, in inches.
        shared: `sharex` and `sharey` of `Figure.subplots`.
    """
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    size = (width * n_columns, height * n_rows + margin)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for empty in axes[n:]:
        empty.set_visible(False)
    return figure, axes[:n]


def plot_groups(
    axes: Axes, table: pd.DataFrame, x: str, y: str, by: str, looks: dict[str, tuple], **more
) -> None:
    """Plots column `y` against `x`, one line per value of column `by`.

    Args:
        looks: value of `by` -> colour, marker and line style; values without a look are left out.
        more: further options of `Axes.plot`.
    """
    for name, (colour, marker, line) in looks.items():
        rows = table[table[by] == name].sort_values(x)
        if len(rows):
            form = {"color": colour, "marker": marker, "linestyle": line}
            axes.plot(rows[x], rows[y], label=name, **form, **more)


def edge_arrow(axes: Axes, value: float, row: int, right: bool = False) -> None:
    """Writes a number that lies outside a panel at its edge, with an arrow towards its place."""
    text = f"{value:.3f} ▸" if right else f"◂ {value:.3f}"
    place = (0.98, "right") if right else (0.02, "left")
    edge = {"xycoords": ("axes fraction", "data"), "ha": place[1], "va": "center"}
    axes.annotate(text, (place[0], row), fontsize=7, **edge)


def label_rows(axes: Axes, names: list[str]) -> None:
    """Names the rows of a panel, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def outer_legend(figure: Figure, place: str = "lower center", **options) -> None:
    """A legend outside the panels, with every label of theirs once."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc=f"outside {place}", **options)


def paper_legend(figure: Figure, label: str = "the paper's number") -> None:
    """A legend below the panels that explains the hollow diamond."""
    handle = Line2D([], [], **PAPER_LOOK, label=label)
    figure.legend(handles=[handle], loc="outside lower center")


@style()
def no_runs_yet() -> Figure:
    """A figure that says that its runs are missing."""
    figure = Figure(figsize=(3.5, 0.6), layout="constrained")
    figure.text(0.5, 0.5, "no finished runs yet", ha="center", va="center")
    return figure

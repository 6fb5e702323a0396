"""Figures for print: one style, fixed colours and markers, tidy tables in, a Figure out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from zlib import crc32

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.analysis.statistics import mean_interval

#: Okabe and Ito's colours: black, orange, sky, green, yellow, blue, vermillion, purple.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">")
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = COLOURS

#: A system looks the same in every figure: colour and marker by name.
LOOKS = {
    "sea": (VERMILLION, "o"),
    "lightgcn": (BLUE, "s"),
    "freedom": (GREEN, "^"),
    "vbpr": (PURPLE, "v"),
    "bpr": (ORANGE, "D"),
    "popularity": (BLACK, "X"),
    "micro": (SKY, "P"),
    "rearm": (YELLOW, "<"),
}

MONITOR = "valid/recall@20"  # training stops by this; its first maximum is the best epoch
RC = {
    "figure.figsize": (3.5, 2.5),
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "svg.hashsalt": "seapkg",
}


@contextmanager
def style() -> Iterator[None]:
    """The one style: 3.5 x 2.5 inches, small type, whatever the user's own settings say."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def look(name: str) -> tuple[str, str]:
    """Colour and marker of a system; "sea (released)" looks like "sea". A stranger's look follows from its name."""
    known = name.lower().split(" ")[0].rstrip(",")
    known = "sea" if known in ("seaa", "seab", "seac", "sead") else known
    number = crc32(name.encode())
    return LOOKS.get(known) or (COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])


def axis_label(metric: str, split: str = "") -> str:
    """The words for a metric: "test/recall@20" is "Recall@20, test"; other names stay as they are."""
    split, _, name = metric.rpartition("/") if "/" in metric else (split, "", metric)
    words = name.replace("recall", "Recall").replace("ndcg", "NDCG")
    return f"{words}, {split}" if split in ("valid", "test") else metric


def training_curves(frame: pd.DataFrame, metrics: Sequence[str] = ("loss", MONITOR)) -> Figure:
    """One panel a metric, one line a run, the best epoch of each run marked.

    `frame`: one row a run, epoch and metric; columns `run, model, seed, epoch, metric, value`. It holds
    "valid/recall@20" whether that is shown or not: its first maximum is the best epoch.
    """
    best, lines = _best_epochs(frame), _line_styles(frame["model"].unique())
    with style():
        figure = Figure(figsize=(3.5 * len(metrics), 2.8), layout="constrained")
        for axes, metric in zip(
            figure.subplots(1, len(metrics), squeeze=False).flat, metrics, strict=True
        ):
            _curve_panel(axes, frame[frame["metric"] == metric], best, lines)
            axes.set_xlabel("epoch")
            axes.set_ylabel(axis_label(metric))
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        title = "marker: best epoch by valid Recall@20"
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=2 + len(metrics),
            title=title,
        )
    return figure


def main_table_points(frame: pd.DataFrame, split: str = "test") -> Figure:
    """One panel a metric and dataset, one line a system: seeds as points, mean and interval in black, the paper's
    number as a hollow diamond.

    `frame`: one row a dataset, model, metric and seed; columns `dataset, model, metric, seed, value, paper`
    (nan where the paper has none). Intervals are of 95 % over seeds; one seed has none. The axes do not start at 0:
    they span the trained systems, and popularity, where it lies further left, is an arrow with its number.
    """
    metrics, datasets = frame["metric"].unique(), frame["dataset"].unique()
    if frame.empty:
        return nothing_yet()
    every = max((list(rows.unique()) for _, rows in frame.groupby("dataset")["model"]), key=len)
    models = every + [model for model in frame["model"].unique() if model not in every]
    with style():
        size = 0.8 + 2.4 * len(datasets), 0.5 + len(metrics) * (0.5 + 0.2 * len(models))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(metrics), len(datasets), squeeze=False, sharey=True)
        for row, metric in enumerate(metrics):
            for axes, dataset in zip(grid[row], datasets, strict=True):
                shown = frame[(frame["metric"] == metric) & (frame["dataset"] == dataset)]
                if len(shown):
                    _point_panel(axes, shown, models)
                axes.set_xlabel(axis_label(metric, split))
                axes.set_title(dataset if row == 0 else "")
        grid[0, 0].set_ylim(len(models) - 0.4, -0.6)
        if frame["paper"].notna().any():
            figure.legend(*paper_handle(), loc="outside lower center")
    return figure


def nothing_yet() -> Figure:
    """Stands for a figure whose runs are not there."""
    with style():
        figure = Figure(figsize=(3.5, 0.6), layout="constrained")
        figure.text(0.5, 0.5, "no finished runs yet", ha="center", va="center")
    return figure


def _best_epochs(frame: pd.DataFrame) -> pd.Series:
    """Run -> epoch of its first maximum of the monitored metric."""
    monitored = frame[frame["metric"] == MONITOR].sort_values(["run", "epoch"])
    if set(frame["run"]) - set(monitored["run"]):
        raise ValueError(f"every run needs rows of {MONITOR}: they tell its best epoch")
    return monitored.loc[monitored.groupby("run")["value"].idxmax()].set_index("run")["epoch"]


def _line_styles(models: Sequence[str]) -> dict[str, str]:
    """A line style for each label, so that those of one system differ: "sea (paper)" and "sea (released)"."""
    looks = [look(model) for model in sorted(models)]
    styles = ("-", "--", ":", "-.")
    return {
        model: styles[looks[:place].count(looks[place]) % 4]
        for place, model in enumerate(sorted(models))
    }


def _curve_panel(axes: Axes, frame: pd.DataFrame, best: pd.Series, lines: dict[str, str]) -> None:
    for (run, model), rows in frame.sort_values("epoch").groupby(["run", "model"], sort=True):
        colour, marker = look(model)
        axes.plot(rows["epoch"], rows["value"], color=colour, linestyle=lines[model], alpha=0.8)
        at_best = rows[rows["epoch"] == best[run]]
        axes.plot(at_best["epoch"], at_best["value"], color=colour, marker=marker, linestyle="none")
        axes.plot([], [], color=colour, marker=marker, linestyle=lines[model], label=model)


def _point_panel(axes: Axes, frame: pd.DataFrame, models: list[str]) -> None:
    axes.grid(axis="y", linewidth=0.3)
    axes.set_yticks(range(len(models)), models)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    low, high = _span(frame)
    axes.set_xlim(low, high)
    for model, rows in frame.groupby("model", sort=False):
        place, (colour, marker) = models.index(model), look(model)
        if (rows["value"] < low).all():
            text = f"\N{BLACK LEFT-POINTING SMALL TRIANGLE} {rows['value'].mean():.3f}"
            axes.annotate(
                text, (0.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=7
            )
            continue
        axes.plot(
            rows["value"],
            [place] * len(rows),
            marker,
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.4,
        )
        interval = mean_interval(rows["value"])
        if np.isfinite(interval.half_width):
            axes.errorbar(
                interval.mean,
                place + 0.3,
                xerr=interval.half_width,
                fmt="|",
                color="black",
                linewidth=1,
            )
        axes.plot(pd.to_numeric(rows["paper"]).iloc[0], place - 0.25, **PAPER_LOOK)


def _span(frame: pd.DataFrame) -> tuple[float, float]:
    """From the least to the greatest of points, intervals and the paper's numbers, with some air; popularity does not
    stretch it to the left."""
    ends = []
    for model, rows in frame.groupby("model"):
        interval = mean_interval(rows["value"])
        half = interval.half_width if np.isfinite(interval.half_width) else 0.0
        own = [
            *rows["value"],
            interval.mean - half,
            interval.mean + half,
            *pd.to_numeric(rows["paper"]).dropna(),
        ]
        ends.append((model == "popularity", min(own), max(own)))
    low = min(
        (least for behind, least, _ in ends if not behind),
        default=min(least for _, least, _ in ends),
    )
    high = max(most for *_, most in ends)
    air = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - air, high + air


PAPER_LOOK = {
    "marker": "D",
    "markerfacecolor": "white",
    "color": "black",
    "linestyle": "none",
    "markersize": 4,
}


def paper_handle() -> tuple[list, list[str]]:
    return [matplotlib.lines.Line2D([], [], **PAPER_LOOK)], ["the paper's number"]

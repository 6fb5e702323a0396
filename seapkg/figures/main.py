"""Figures of the main table and of trainings. Functions take a tidy table and return a Figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.analysis.statistics import mean_interval
from seapkg.figures.style import (
    PAPER_LOOK,
    axis_label,
    edge_arrow,
    look,
    no_runs_yet,
    outer_legend,
    paper_legend,
    style,
)

MONITOR = "valid/recall@20"  # early stopping uses it; its first maximum is the best epoch
LINE_STYLES = ("-", "--", ":", "-.")


@style()
def training_curves(frame: pd.DataFrame, metrics: Sequence[str] = ("loss", MONITOR)) -> Figure:
    """One panel per metric, one line per run; a marker at each run's best epoch.

    Args:
        frame: one row per run, epoch and metric; columns `run, model, seed, epoch, metric, value`.
            It needs the rows of "valid/recall@20" even where that metric is not shown.
        metrics: the metrics to show.

    Raises:
        ValueError: where a run has no row of "valid/recall@20".
    """
    best_epochs = _best_epochs(frame)
    line_styles = _line_styles(frame["model"].unique())
    figure = Figure(figsize=(3.5 * len(metrics), 2.8), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False).flat
    for axes, metric in zip(panels, metrics, strict=True):
        rows = frame[frame["metric"] == metric]
        _curve_panel(axes, rows, best_epochs, line_styles)
        axes.set(xlabel="epoch", ylabel=axis_label(metric))
    title = "marker: best epoch by valid Recall@20"
    outer_legend(figure, ncols=2 + len(metrics), title=title)
    return figure


@style()
def main_table_points(frame: pd.DataFrame, split: str = "test") -> Figure:
    """One panel per metric and dataset, one row per system.

    Seeds are points; below them a bar and whisker show the mean and its 95 % interval over seeds;
    above them a hollow diamond is the paper's number. The axes span the trained systems and do not
    start at 0: popularity becomes an arrow with its number where it lies further left.

    Args:
        frame: one row per dataset, model, metric and seed; columns `dataset, model, metric, seed,
            value, paper`; `paper` is nan where the paper has no number.
        split: the name of the split, for the axes.
    """
    if frame.empty:
        return no_runs_yet()
    metrics, datasets = frame["metric"].unique(), frame["dataset"].unique()
    models = _models_in_order(frame)
    width = 0.8 + 2.4 * len(datasets)
    height = 0.5 + len(metrics) * (0.5 + 0.2 * len(models))
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(len(metrics), len(datasets), squeeze=False, sharey=True)
    for panels, metric in zip(grid, metrics, strict=True):
        for axes, dataset in zip(panels, datasets, strict=True):
            rows = frame[(frame["metric"] == metric) & (frame["dataset"] == dataset)]
            _points_panel(axes, rows, models)
            axes.set_xlabel(axis_label(metric, split))
    for axes, dataset in zip(grid[0], datasets, strict=True):
        axes.set_title(dataset)
    grid[0, 0].set_ylim(len(models) - 0.4, -0.6)
    if frame["paper"].notna().any():
        paper_legend(figure)
    return figure


def _best_epochs(frame: pd.DataFrame) -> pd.Series:
    """Run -> the epoch of its first maximum of the monitored metric."""
    monitored = frame[frame["metric"] == MONITOR].sort_values(["run", "epoch"])
    missing = set(frame["run"]) - set(monitored["run"])
    if missing:
        raise ValueError(f"run {min(missing)} has no row of {MONITOR}; its best epoch is unknown")
    best_rows = monitored.groupby("run")["value"].idxmax()
    return monitored.loc[best_rows].set_index("run")["epoch"]


def _line_styles(models: Sequence[str]) -> dict[str, str]:
    """Label -> line style; labels of one system differ, as "sea (paper)" and "sea (released)"."""
    line_styles, n_seen = {}, {}
    for model in sorted(models):
        place = n_seen.get(look(model), 0)
        line_styles[model] = LINE_STYLES[place % len(LINE_STYLES)]
        n_seen[look(model)] = place + 1
    return line_styles


def _curve_panel(
    axes: Axes, frame: pd.DataFrame, best_epochs: pd.Series, line_styles: dict[str, str]
) -> None:
    for (run, model), rows in frame.sort_values("epoch").groupby(["run", "model"]):
        colour, marker = look(model)
        line = line_styles[model]
        axes.plot(rows["epoch"], rows["value"], color=colour, linestyle=line, alpha=0.8)
        best = rows[rows["epoch"] == best_epochs[run]]
        axes.plot(best["epoch"], best["value"], color=colour, marker=marker, linestyle="none")
        axes.plot([], [], color=colour, marker=marker, linestyle=line, label=model)


def _models_in_order(frame: pd.DataFrame) -> list[str]:
    """All models, in the order of the dataset that has most of them."""
    by_dataset = frame.groupby("dataset")["model"].unique()
    longest = max(by_dataset, key=len)
    return list(dict.fromkeys([*longest, *frame["model"]]))


def _points_panel(axes: Axes, frame: pd.DataFrame, models: list[str]) -> None:
    axes.grid(axis="y", linewidth=0.3)
    axes.set_yticks(range(len(models)), models)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.1)
    is_popularity = frame["model"] == "popularity"
    for model, rows in frame[~is_popularity].groupby("model", sort=False):
        _points_row(axes, rows, models.index(model), look(model))
    popularity = frame[is_popularity]
    if popularity.empty:
        return
    row, value = models.index("popularity"), popularity["value"].mean()
    if value < axes.get_xlim()[0] and not is_popularity.all():
        edge_arrow(axes, value, row)
    else:
        _points_row(axes, popularity, row, look("popularity"))


def _points_row(axes: Axes, rows: pd.DataFrame, row: int, colour_marker: tuple[str, str]) -> None:
    colour, marker = colour_marker
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.4}
    axes.plot(rows["value"], [row] * len(rows), marker, color=colour, **edge)
    interval = mean_interval(rows["value"])
    if np.isfinite(interval.half_width):
        whisker = {"fmt": "|", "color": "black", "linewidth": 1}
        axes.errorbar(interval.mean, row + 0.3, xerr=interval.half_width, **whisker)
    axes.plot(pd.to_numeric(rows["paper"]).iloc[0], row - 0.25, **PAPER_LOOK)

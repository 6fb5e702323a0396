"""Figures for print: one style, fixed colours and markers, tidy tables in, a Figure out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from zlib import crc32

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.training.statistics import mean_interval

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
        for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False).flat, metrics, strict=True):
            _curve_panel(axes, frame[frame["metric"] == metric], best, lines)
            axes.set_xlabel("epoch")
            axes.set_ylabel(axis_label(metric))
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        title = "marker: best epoch by valid Recall@20"
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2 + len(metrics), title=title)
    return figure


def main_table_bars(frame: pd.DataFrame, split: str = "test") -> Figure:
    """One panel a metric and dataset: seeds as points, their mean as a bar, the paper's number as a hollow diamond.

    `frame`: one row a dataset, model, metric and seed; columns `dataset, model, metric, seed, value, paper`
    (nan where the paper has none). Whiskers are 95 % intervals over seeds; one seed has none. Bars start at 0.
    """
    metrics, datasets = frame["metric"].unique(), frame["dataset"].unique()
    with style():
        size = (0.8 + 2.7 * len(datasets), 0.6 + 2.0 * len(metrics))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(metrics), len(datasets), squeeze=False)
        for row, metric in enumerate(metrics):
            grid[row, 0].set_ylabel(axis_label(metric, split))
            for axes, dataset in zip(grid[row], datasets, strict=True):
                _bar_panel(axes, frame[(frame["metric"] == metric) & (frame["dataset"] == dataset)])
                axes.set_title(dataset if row == 0 else "")
        if frame["paper"].notna().any():
            figure.legend(*_paper_handle(), loc="outside lower center")
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
    return {model: styles[looks[:place].count(looks[place]) % 4] for place, model in enumerate(sorted(models))}


def _curve_panel(axes: Axes, frame: pd.DataFrame, best: pd.Series, lines: dict[str, str]) -> None:
    for (run, model), rows in frame.sort_values("epoch").groupby(["run", "model"], sort=True):
        colour, marker = look(model)
        axes.plot(rows["epoch"], rows["value"], color=colour, linestyle=lines[model], alpha=0.8)
        at_best = rows[rows["epoch"] == best[run]]
        axes.plot(at_best["epoch"], at_best["value"], color=colour, marker=marker, linestyle="none")
        axes.plot([], [], color=colour, marker=marker, linestyle=lines[model], label=model)


def _bar_panel(axes: Axes, frame: pd.DataFrame) -> None:
    models = frame["model"].unique()
    for place, model in enumerate(models):
        rows = frame[frame["model"] == model]
        interval = mean_interval(rows["value"])
        colour, marker = look(model)
        axes.bar(place, interval.mean, width=0.7, color=colour, alpha=0.35)
        if np.isfinite(interval.half_width):
            axes.errorbar(place, interval.mean, yerr=interval.half_width, color="black", capsize=3, linewidth=1)
        offsets = np.linspace(-0.15, 0.15, len(rows)) if len(rows) > 1 else [0.0]
        axes.plot(place + np.asarray(offsets), rows["value"], marker, color=colour, markeredgecolor="white")
        axes.plot(place + 0.28, rows["paper"].iloc[0], **PAPER_LOOK)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(models)), models, rotation=30, ha="right", rotation_mode="anchor")


PAPER_LOOK = {"marker": "D", "markerfacecolor": "white", "color": "black", "linestyle": "none", "markersize": 5}


def _paper_handle() -> tuple[list, list[str]]:
    return [matplotlib.lines.Line2D([], [], **PAPER_LOOK)], ["the paper's number"]


def cost_panels(table: pd.DataFrame, metric: str = "recall@20") -> Figure:
    """One panel a dataset, one row a change: the mean loss with its 95 % interval over users, and a point a seed.

    `table`: what `tables.costs_of_changes` gives. Right of zero the change costs something.
    """
    datasets, changes = table["dataset"].unique(), table["change"].unique()
    if table.empty:
        return _nothing_yet()
    with style():
        size = (1.2 + 2.3 * len(datasets), 0.9 + 0.32 * len(changes))
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(datasets), squeeze=False, sharey=True)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            _cost_panel(axes, table[table["dataset"] == dataset], list(changes))
            axes.set_title(dataset)
        panels[0].set_yticks(range(len(changes)), changes)
        panels[0].invert_yaxis()
        figure.supxlabel(f"what it costs in {axis_label(metric, 'test')}", fontsize="medium")
    return figure


def _nothing_yet() -> Figure:
    with style():
        figure = Figure(figsize=(3.5, 0.6), layout="constrained")
        figure.text(0.5, 0.5, "no finished runs yet", ha="center", va="center")
    return figure


def _cost_panel(axes: Axes, table: pd.DataFrame, changes: list[str]) -> None:
    axes.axvline(0, color="0.7", linewidth=1)
    for row in table.to_dict("records"):
        place = changes.index(row["change"])
        half = row["high, users"] - row["difference"]
        axes.errorbar(row["difference"], place, xerr=half, color="black", marker="o", capsize=3)
        offsets = place + np.linspace(0.16, 0.3, len(row["by_seed"]))
        axes.plot(row["by_seed"], offsets, ".", color=VERMILLION, markersize=3, clip_on=False)
    axes.set_ylim(-0.5, len(changes) - 0.5)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=4)


def sensitivity(table: pd.DataFrame, metric: str = "recall@20") -> Figure:
    """One panel an option: test metric against its value, a line a dataset through the means, a point a seed.

    `table`: columns dataset, option, value (a number), is_default, seed, metric_value. The default's points are ringed;
    values stand at even distances, in rising order, whatever lies between them. Axes do not start at 0.
    """
    options, datasets = table["option"].unique(), sorted(table["dataset"].unique())
    if table.empty:
        return _nothing_yet()
    with style():
        figure = Figure(figsize=(0.6 + 2.3 * len(options), 2.0 * len(datasets) + 0.4), layout="constrained")
        grid = figure.subplots(len(datasets), len(options), squeeze=False, sharey="row")
        for row, dataset in zip(grid, datasets, strict=True):
            row[0].set_ylabel(f"{axis_label(metric, 'test')}\n{dataset}")
            for axes, option in zip(row, options, strict=True):
                _sensitivity_panel(axes, table[(table["dataset"] == dataset) & (table["option"] == option)])
        for axes, option in zip(grid[-1], options, strict=True):
            axes.set_xlabel(option.replace("_", " "))
    return figure


def _sensitivity_panel(axes: Axes, rows: pd.DataFrame) -> None:
    values = sorted(rows["value"].unique())
    means = rows.groupby("value")["metric_value"].mean()
    axes.plot(range(len(values)), means[values], color=VERMILLION, alpha=0.6)
    axes.plot(rows["value"].map(values.index), rows["metric_value"], "o", color=VERMILLION)
    default = rows[rows["is_default"]]
    axes.plot(default["value"].map(values.index), default["metric_value"], "o", color="none", markeredgecolor="black",
              markersize=8)  # fmt: skip
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])


def cost_points(table: pd.DataFrame) -> Figure:
    """Two panels, a row a system: seconds an epoch, on a logarithmic axis, and peak memory, from 0.

    `table`: columns system, seconds, memory_mb, and the paper's seconds as paper_seconds (nan where it has none), which
    were measured on another machine and other data: hollow diamonds, for their proportions.
    """
    systems = list(table["system"])
    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.25 * len(systems)), layout="constrained")
        seconds, memory = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(table.to_dict("records")):
            colour, marker = look(row["system"])
            seconds.plot(row["seconds"], place, marker, color=colour)
            seconds.plot(row["paper_seconds"], place, **PAPER_LOOK)
            memory.plot(row["memory_mb"], place, marker, color=colour)
        seconds.set(xscale="log", xlabel="seconds an epoch")
        memory.set(xlabel="peak memory, MB")
        memory.set_xlim(left=0)
        seconds.set_yticks(range(len(systems)), systems)
        seconds.invert_yaxis()
        for axes in (seconds, memory):
            axes.grid(axis="x", which="both", linewidth=0.3)
        handles, _ = _paper_handle()
        figure.legend(handles, ["the paper's seconds (its machine, its features)"], loc="outside lower center")
    return figure


#: What a probe looks for: colour and marker.
FACTOR_LOOKS = {"generic": (BLUE, "o"), "own unique": (VERMILLION, "s"), "other's unique": (BLACK, "x")}


def probe_panels(table: pd.DataFrame) -> Figure:
    """A panel a part, a row a method: the R² with which each factor can be told from it, 95 % intervals over seeds.

    `table`: columns method, part ("generic" or "unique"), factor (a name in `FACTOR_LOOKS`), seed and r2.
    """
    methods = list(table["method"].unique())
    with style():
        figure = Figure(figsize=(7.0, 0.9 + 0.27 * len(methods)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        for axes, part in zip(panels, ("generic", "unique"), strict=True):
            _probe_panel(axes, table[table["part"] == part], methods)
            axes.set_title(f"{part} part")
        panels[0].set_yticks(range(len(methods)), methods)
        panels[0].invert_yaxis()
        figure.supxlabel("R² of a linear probe", fontsize="medium")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, title="factor")
    return figure


def _probe_panel(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    axes.axvline(0, color="0.8", linewidth=1)
    for shift, (factor, (colour, marker)) in zip((-0.15, 0, 0.15), FACTOR_LOOKS.items(), strict=True):
        groups = table[table["factor"] == factor].groupby("method")["r2"]
        intervals = {method: mean_interval(values) for method, values in groups}
        places = [methods.index(method) + shift for method in intervals]
        means = [interval.mean for interval in intervals.values()]
        halves = [interval.half_width for interval in intervals.values()]  # nan, and not drawn, for a single seed
        axes.errorbar(
            means, places, xerr=halves, color=colour, marker=marker, linestyle="none", capsize=2, label=factor
        )

"""Figures of the main table and of trainings. Functions take a tidy table and return a Figure."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seapkg.figures.style import (
    BLACK,
    PAPER_LOOK,
    arrows_outside,
    axis_label,
    facets,
    label_rows,
    look,
    outer_legend,
    panels,
    plot_means,
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
    """
    curves = frame.pivot(index=["model", "run", "epoch"], columns="metric", values="value")
    line_styles = _line_styles(frame["model"].unique())
    figure, all_axes = panels(len(metrics), width=3.5, height=2.8)
    for axes, metric in zip(all_axes, metrics, strict=True):
        for (model, _), curve in curves.groupby(["model", "run"]):
            colour, marker = look(model)
            axes.plot(
                curve.index.get_level_values("epoch"),
                curve[metric],
                color=colour,
                linestyle=line_styles[model],
                marker=marker,
                markevery=[curve[MONITOR].argmax()],
                label=model,
            )
        axes.set(xlabel="epoch", ylabel=axis_label(metric))
    outer_legend(figure, ncols=3, title="marker: best epoch by valid Recall@20")
    return figure


@style()
def main_table_points(frame: pd.DataFrame) -> Figure:
    """One panel per dataset, one row per system, the highest mean on top.

    Seeds are points; a black bar and whisker show the mean and its 95 % interval over seeds; a
    hollow diamond is the paper's number. The axes span the trained systems and do not start at 0;
    where popularity lies outside, an arrow and a number replace it.

    Args:
        frame: one row per dataset, model and seed; columns `dataset, model, metric, seed, value,
            paper`: one test metric, and the paper's number or nan.
    """
    n_rows = frame.groupby("dataset")["model"].nunique().max() if len(frame) else 0
    height = 0.6 + 0.19 * n_rows
    figure, datasets = facets(frame, ["dataset"], n_columns=2, width=3.6, height=height)
    for axes, _, rows in datasets:
        models = list(rows.groupby("model")["value"].mean().sort_values(ascending=False).index)
        label_rows(axes, models)
        for label in axes.get_yticklabels():
            label.set_fontweight("bold" if look(label.get_text()) == look("sea") else "normal")
        axes.set_ylim(n_rows - 0.5, -0.5)  # rows are equally high in all panels
        _points_panel(axes, rows.assign(row=rows["model"].map(models.index)))
        axes.set_xlabel(axis_label(f"test/{rows['metric'].iloc[0]}"))
    outer_legend(figure)
    return figure


@style()
def ranks_after_search(frame: pd.DataFrame) -> Figure:
    """One row per system, the highest mean after the search on top; its ranks stand in its label.

    A hollow square is the mean before the search, a filled one after it, with 95 % intervals over
    seeds and a line between them.

    Args:
        frame: one row per model, setting ("before", "after") and seed, with column `value`; models
            in both settings alone.
    """
    means = frame.pivot_table(index="model", columns="setting", values="value")
    means = means.sort_values("after", ascending=False)
    ranks = means.rank(ascending=False).astype(int)
    figure, (axes,) = panels(1, width=5.0, height=0.8 + 0.22 * len(means))
    label_rows(axes, [f"{name}   {row.before} → {row.after}" for name, row in ranks.iterrows()])
    rows = frame.assign(row=frame["model"].map(list(means.index).index))
    axes.hlines(range(len(means)), means["before"], means["after"], color="0.6", linewidth=1)
    for setting, face in (("before", "white"), ("after", BLACK)):
        look = {"fmt": "s", "color": BLACK, "markerfacecolor": face, "linewidth": 0.8}
        chosen = rows[rows["setting"] == setting]
        plot_means(axes, chosen, "value", 0, **look, label=f"{setting} the search")
    axes.grid(axis="y", linewidth=0.3)
    axes.set_xlabel(axis_label("test/recall@20"))
    moved = int((ranks["before"] != ranks["after"]).sum())
    axes.set_title(f"The search moves {moved} of {len(ranks)} systems to another rank")
    outer_legend(figure, ncols=2)
    return figure


def _line_styles(models: Sequence[str]) -> dict[str, str]:
    """Label -> line style, different for labels that look alike, such as SEA's formulations."""
    labels = pd.Series(sorted(models))
    places = labels.groupby(labels.map(look)).cumcount()
    return {label: LINE_STYLES[place % 4] for label, place in zip(labels, places, strict=True)}


def _points_panel(axes: Axes, frame: pd.DataFrame) -> None:
    is_popularity = frame["model"] == "popularity"
    popularity = frame[is_popularity]
    _points(axes, frame[~is_popularity])
    axes.set_xlim(axes.get_xlim())  # popularity does not move the limits
    _points(axes, popularity)
    arrows_outside(axes, popularity.groupby("row")["value"].mean())
    axes.grid(axis="y", linewidth=0.3)
    axes.locator_params(axis="x", nbins=5)


def _points(axes: Axes, frame: pd.DataFrame) -> None:
    for model, rows in frame.groupby("model"):
        colour, marker = look(model)
        axes.plot(rows["value"], rows["row"], marker, color=colour, alpha=0.7)
    plot_means(axes, frame, "value", 0, fmt="|", color=BLACK, linewidth=1)
    papers = frame.drop_duplicates("model").dropna(subset="paper")
    if len(papers):
        label = "the paper's number"
        paper_look = PAPER_LOOK | {"markerfacecolor": "none"}  # seeds may lie behind it
        axes.plot(papers["paper"], papers["row"], **paper_look, label=label)

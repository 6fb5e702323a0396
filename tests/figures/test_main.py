"""Figures of trainings and of the main table show what their tables say."""

import numpy as np
import pandas as pd
import pytest

from seapkg.analysis.statistics import mean_interval
from seapkg.figures import main


def curves_frame():
    values = {"valid/recall@20": [0.1, 0.3, 0.3, 0.2], "loss": [3.0, 2.0, 1.0, 0.5]}
    return pd.DataFrame(
        {
            "run": f"{model}-{seed}",
            "model": model,
            "seed": seed,
            "epoch": epoch,
            "metric": metric,
            "value": value,
        }
        for model in ("sea (paper)", "bpr")
        for seed in (0, 1)
        for metric, row in values.items()
        for epoch, value in enumerate(row)
    )


def points_frame():
    values = {"sea (paper)": [0.10, 0.11, 0.12], "bpr": [0.05]}
    return pd.DataFrame(
        {
            "dataset": dataset,
            "model": model,
            "metric": "recall@20",
            "seed": seed,
            "value": value,
            "paper": paper,
        }
        for dataset in ("baby", "toy")
        for model, row in values.items()
        for paper in [0.1033 if model.startswith("sea") else np.nan]
        for seed, value in enumerate(row)
    )


def test_curves_mark_the_first_best_epoch_in_every_panel():
    figure = main.training_curves(curves_frame())
    loss, recall = figure.axes
    assert len(loss.lines) == 4
    for line in loss.lines + recall.lines:
        assert line.get_xdata()[line.get_markevery()].tolist() == [1]
    assert recall.get_ylabel() == "Recall@20, valid" and loss.get_xlabel() == "epoch"


def test_curves_show_every_run_and_name_each_model_once():
    figure = main.training_curves(curves_frame(), metrics=["valid/recall@20"])
    (axes,) = figure.axes
    assert len(axes.lines) == 4
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.3, 0.3, 0.2]
    assert len(figure.legends[0].get_texts()) == 2


def test_points_stand_with_means_intervals_and_the_papers_number_on_a_line_a_system():
    axes = main.main_table_points(points_frame()).axes[0]
    _, _, (whiskers,) = axes.containers[0]
    low, high = whiskers.get_segments()[0][:, 0]
    half = mean_interval([0.10, 0.11, 0.12]).half_width
    assert (low, high) == pytest.approx((0.11 - half, 0.11 + half))
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([0.10, 0.11, 0.12], [0, 0, 0]) in points and ([0.05], [1]) in points
    (paper,) = [line for line in axes.lines if list(line.get_xdata()) == [0.1033]]
    assert paper.get_marker() == "D" and paper.get_markerfacecolor() == "none"


def test_formulations_of_one_system_differ_in_their_lines():
    frame = curves_frame().replace({"model": {"bpr": "sea (released)"}})
    (axes,) = main.training_curves(frame, metrics=["valid/recall@20"]).axes
    assert len({line.get_color() for line in axes.lines}) == 1
    assert len({line.get_linestyle() for line in axes.lines}) == 2


def test_a_number_of_the_paper_beyond_every_point_is_still_inside():
    figure = main.main_table_points(points_frame().assign(paper=0.9))
    assert all(axes.get_xlim()[1] > 0.9 for axes in figure.axes)


def test_wide_intervals_are_inside():
    frame = points_frame().query(
        "seed < 2"
    )  # two seeds: the interval is thirteen times the standard error
    axes = main.main_table_points(frame).axes[0]
    interval = mean_interval([0.10, 0.11])
    low, high = axes.get_xlim()
    assert low < interval.mean - interval.half_width and high > interval.mean + interval.half_width


def test_popularity_far_away_is_an_arrow_with_its_number():
    frame = points_frame()
    for value, arrows in [(0.001, [" ◂ 0.001"]), (0.06, []), (0.9, ["0.900 ▸ "])]:
        popularity = frame[frame["model"] == "bpr"].assign(model="popularity", value=value)
        axes = main.main_table_points(pd.concat([frame, popularity])).axes[0]
        assert [text.get_text() for text in axes.texts] == arrows
        low, high = axes.get_xlim()
        assert (low < value < high) == (not arrows)


def test_without_runs_the_figure_says_so():
    empty = points_frame().iloc[:0]
    assert main.main_table_points(empty).get_suptitle() == "no finished runs yet"


def names_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_each_dataset_has_a_panel_that_names_metric_cut_off_and_split():
    axes = main.main_table_points(points_frame()).axes
    assert [panel.get_title() for panel in axes] == ["baby", "toy"]
    assert {panel.get_xlabel() for panel in axes} == {"Recall@20, test"}


def test_rows_are_sorted_by_mean_in_each_panel_and_equally_high():
    frame = points_frame()
    frame.loc[(frame["dataset"] == "toy") & (frame["model"] == "bpr"), "value"] = 0.2
    more = frame[(frame["dataset"] == "toy") & (frame["model"] == "bpr")].assign(model="vbpr")
    first, second = main.main_table_points(pd.concat([frame, more])).axes
    assert names_of(first) == ["sea (paper)", "bpr"] and names_of(second)[2] == "sea (paper)"
    assert first.get_ylim() == second.get_ylim() == (2.5, -0.5)


def test_the_name_of_sea_is_bold():
    (axes, _) = main.main_table_points(points_frame()).axes
    assert [label.get_fontweight() for label in axes.get_yticklabels()] == ["bold", "normal"]

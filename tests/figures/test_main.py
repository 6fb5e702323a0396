"""Figures: what they show is what the table says, and the style stays inside."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer

from seapkg.analysis.statistics import mean_interval
from seapkg.figures import bounds, main, studies
from seapkg.studies import tables


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
            "metric": metric,
            "seed": seed,
            "value": value,
            "paper": paper,
        }
        for dataset in ("baby", "toy")
        for metric in ("recall@20", "ndcg@20")
        for model, row in values.items()
        for paper in [0.1033 if model.startswith("sea") else np.nan]
        for seed, value in enumerate(row)
    )


def test_colours_are_okabe_and_itos_and_markers_are_distinct():
    assert len(set(main.COLOURS)) == 8 and main.COLOURS[6] == "#D55E00"
    assert (
        len(set(main.LOOKS.values()))
        == len({marker for _, marker in main.LOOKS.values()})
        == len(main.LOOKS)
    )


def test_a_system_looks_the_same_whatever_stands_behind_its_name():
    assert main.look("sea (released), n_layers=1") == main.look("sea") == main.look("SEA")
    assert main.look("sea, n_layers=1") == main.look("sea")
    assert main.look("stranger") == main.look("stranger")


def test_style_is_small_and_stays_inside():
    before = dict(matplotlib.rcParams)
    with main.style():
        assert matplotlib.rcParams["figure.figsize"] == [3.5, 2.5]
    assert dict(matplotlib.rcParams) == before


def test_curves_mark_the_first_best_epoch_in_every_panel():
    figure = main.training_curves(curves_frame())
    loss, recall = figure.axes
    marked = [
        line for line in loss.lines if line.get_linestyle() == "None" and len(line.get_xdata())
    ]
    assert len(marked) == 4 and all(list(line.get_xdata()) == [1] for line in marked)
    assert all(list(line.get_ydata()) == [2.0] for line in marked)
    assert recall.get_ylabel() == "Recall@20, valid" and loss.get_xlabel() == "epoch"


def test_curves_show_every_run_and_name_each_model_once():
    figure = main.training_curves(curves_frame(), metrics=["valid/recall@20"])
    (axes,) = figure.axes
    whole = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(whole) == 4 and list(whole[0].get_ydata()) == [0.1, 0.3, 0.3, 0.2]
    assert len(figure.legends[0].get_texts()) == 2


def test_curves_without_the_monitored_metric_are_refused():
    frame = curves_frame()
    with pytest.raises(ValueError, match="valid/recall@20"):
        main.training_curves(frame[frame["metric"] == "loss"])


def test_points_stand_with_means_intervals_and_the_papers_number_on_a_line_a_system():
    axes = main.main_table_points(points_frame()).axes[0]
    (whisker,) = [
        bar
        for container in axes.containers
        if isinstance(container, ErrorbarContainer)
        for bar in container[2]
    ]
    low, high = whisker.get_segments()[0][:, 0]
    half = mean_interval([0.10, 0.11, 0.12]).half_width
    assert (low, high) == pytest.approx((0.11 - half, 0.11 + half))
    points = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([0.10, 0.11, 0.12], [0, 0, 0]) in points and ([0.05], [1]) in points
    (paper,) = [line for line in axes.lines if list(line.get_xdata()) == [0.1033]]
    assert paper.get_marker() == "D" and to_hex(paper.get_markerfacecolor()) == "#ffffff"


def test_formulations_of_one_system_differ_in_their_lines():
    frame = curves_frame().replace({"model": {"bpr": "sea (released)"}})
    (axes,) = main.training_curves(frame, metrics=["valid/recall@20"]).axes
    whole = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert (
        len({line.get_color() for line in whole}) == 1
        and len({line.get_linestyle() for line in whole}) == 2
    )


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


def test_popularity_ahead_of_all_is_inside_and_a_metric_that_a_dataset_lacks_leaves_its_panel_empty():
    frame = points_frame()
    ahead = frame[frame["model"] == "bpr"].assign(model="popularity", value=0.3)
    assert main.main_table_points(pd.concat([frame, ahead])).axes[0].get_xlim()[1] > 0.3
    figure = main.main_table_points(
        frame[(frame["dataset"] == "baby") | (frame["metric"] == "recall@20")]
    )
    assert [bool(axes.lines) for axes in figure.axes] == [True, True, True, False]


def test_popularity_far_behind_is_an_arrow_with_its_number_and_near_by_a_point():
    frame = points_frame()
    for value, told in [(0.001, ["0.001"]), (0.06, [])]:
        popularity = frame[frame["model"] == "bpr"].assign(model="popularity", value=value)
        axes = main.main_table_points(pd.concat([frame, popularity])).axes[0]
        assert [text.get_text()[-5:] for text in axes.texts] == told
        assert any(list(line.get_xdata()) == [value] for line in axes.lines) == (not told)


def test_panels_name_metric_cut_off_split_dataset_and_every_system_in_the_fullest_order():
    frame = points_frame()
    figure = main.main_table_points(frame[(frame["dataset"] == "toy") | (frame["model"] == "bpr")])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["baby", "toy"]
    assert (
        figure.axes[0].get_xlabel() == "Recall@20, test"
        and figure.axes[2].get_xlabel() == "NDCG@20, test"
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "sea (paper)",
        "bpr",
    ]


# Bounds of mutual information


def bounds_frame(**columns):
    rows = [(x, name, x + k) for x in (2.0, 0.0, 1.0) for k, name in enumerate(bounds.LOOKS)]
    return pd.DataFrame(rows, columns=["truth", "estimate", "value"]).assign(**columns)


def test_bounds_have_a_panel_a_dimension_and_every_estimate_against_the_truth():
    figure = bounds.bounds(pd.concat([bounds_frame(dim=8), bounds_frame(dim=2)]))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["dimension 2", "dimension 8"]
    for axes in panels:
        lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
        assert lines.pop("the truth") == [[0, 0], [1, 1], [2, 2]]
        assert lines == {
            name: [[x, x + k] for x in (0, 1, 2)] for k, name in enumerate(bounds.LOOKS)
        }


def test_estimates_by_correlation_shade_what_the_clamp_cuts_off():
    frame = bounds_frame().assign(rho=lambda rows: rows["truth"] / 2 - 0.5)
    axes = bounds.by_correlation(frame, 2).axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["the truth"] == [[-0.5, 0], [0, 1], [0.5, 2]]
    assert lines["InfoNCE"] == [[-0.5, 4], [0, 5], [0.5, 6]]
    (shade,) = axes.patches
    assert shade.get_y() + shade.get_height() == 0 and shade.get_y() == axes.get_ylim()[0]


def costs_row(difference, **columns):
    users = {"low, users": difference - 0.2, "high, users": difference + 0.2}
    seeds = {"low, seeds": difference - 0.4, "high, seeds": difference + 0.4}
    return {
        "dataset": "toy",
        "difference": difference,
        **users,
        **seeds,
        "by_seed": [0.05, 0.15],
        **columns,
    }


def test_what_changes_cost_has_a_row_a_change_both_its_intervals_and_a_point_a_seed():
    table = pd.DataFrame([costs_row(0.1, change="less"), costs_row(-0.2, change="none")])
    (axes,) = studies.cost_panels(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["less", "none"]
    bars = [artist for artist in axes.containers if isinstance(artist, ErrorbarContainer)]
    ends = [bar.lines[2][0].get_segments()[0][:, 0] for bar in bars]
    assert np.allclose(ends, [[-0.1, 0.3], [-0.4, 0.0]])
    points = [line for line in axes.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in points] == [[0.05, 0.15]] * 2
    over_seeds = [
        line for line in axes.lines if line.get_color() == main.VERMILLION and line not in points
    ]
    assert np.allclose([line.get_xdata() for line in over_seeds], [[-0.3, 0.5], [-0.6, 0.2]])


@pytest.mark.parametrize(
    ("difference", "told"), [(40.0, "40.000 ▸"), (-40.0, "◂ -40.000"), (2.0, None)]
)
def test_a_change_that_costs_many_times_what_all_others_do_is_an_arrow_with_its_number(
    difference, told
):
    table = pd.DataFrame([costs_row(0.1, change="less"), costs_row(difference, change="none")])
    (axes,) = studies.cost_panels(table).axes
    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == ([(told, 1)] if told else [])
    assert (max(np.abs(axes.get_xlim())) < abs(difference)) == bool(told)


@pytest.mark.parametrize(
    ("reaches", "limit"),
    [([0.01, 0.02, 0.9], 0.02), ([0.02, 0.9], 0.02), ([0, 0.02, 0.03], 0.03), ([0.0003, 0.002, 0.0025, 0.003], 0.003),
     ([0, 0, 0.03], 0), ([0.01, 0.02, 0.5, 0.9], 0.02), ([0.01, 0.5, 0.9], 0.9), ([0.7], 0.7), ([0, 0], 0)],
)  # fmt: skip
def test_no_more_than_half_of_the_changes_are_off_the_scale(reaches, limit):
    assert studies._near(reversed(reaches)) == limit


def test_one_change_is_to_scale_however_far_out_and_one_seed_has_no_interval_over_seeds():
    row = costs_row(40.0, change="none", by_seed=[40.0]) | {
        "low, seeds": np.nan,
        "high, seeds": np.nan,
    }
    (axes,) = studies.cost_panels(pd.DataFrame([row])).axes
    assert not axes.texts and axes.get_xlim()[1] > 40
    red = [line for line in axes.lines if line.get_color() == main.VERMILLION]
    assert [line.get_marker() for line in red if np.isfinite(line.get_xdata()).all()] == ["."]


def test_without_runs_there_is_a_figure_that_says_so():
    costs = pd.DataFrame(columns=tables.COSTS_OF_CHANGES)
    points = pd.DataFrame(
        columns=["dataset", "option", "value", "is_default", "seed", "metric_value"]
    )
    table = points_frame().iloc[:0]
    drawn = (
        studies.cost_panels(costs),
        studies.sensitivity(points, {}),
        main.main_table_points(table),
    )
    for figure in drawn:
        assert not figure.axes and figure.texts[0].get_text() == "no finished runs yet"


def test_costs_of_two_datasets_stand_in_two_panels_with_the_same_rows():
    places = ("a", "less"), ("a", "none"), ("b", "none")
    table = pd.DataFrame(
        [costs_row(0.1, dataset=dataset, change=change) for dataset, change in places]
    )
    first, second = studies.cost_panels(table).axes
    assert [axes.get_title() for axes in (first, second)] == ["a", "b"]
    (bar,) = [artist for artist in second.containers if isinstance(artist, ErrorbarContainer)]
    assert bar.lines[0].get_ydata() == [1]  # the row of "none", though "less" is not there


def test_sensitivity_rings_the_default_bands_its_seeds_and_joins_the_means_in_rising_order():
    rows = [
        {"dataset": "toy", "option": "temperature", "value": value, "is_default": value == 0.2, "seed": seed,
         "metric_value": metric + 0.01 * seed}
        for value, metric in ((0.4, 0.1), (0.2, 0.3), (0.1, 0.2)) for seed in (0, 1)
    ]  # fmt: skip
    assert (
        not studies.sensitivity(pd.DataFrame(rows), {}).axes[0].patches
    )  # the default has no finished run
    (axes,) = studies.sensitivity(pd.DataFrame(rows), {"toy": [0.31, 0.3, 0.35]}).axes
    (band,) = axes.patches
    assert np.allclose([band.get_y(), band.get_y() + band.get_height()], [0.3, 0.35])
    line, points, ring = axes.lines
    assert np.allclose(line.get_ydata(), [0.205, 0.305, 0.105]) and list(line.get_xdata()) == [
        0,
        1,
        2,
    ]
    assert len(points.get_xdata()) == 6 and list(ring.get_xdata()) == [1, 1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]


def test_what_parts_know_has_a_panel_a_part_and_a_point_a_method_and_factor():
    rows = [
        {
            "method": method,
            "part": part,
            "factor": factor,
            "seed": seed,
            "r2": 0.1 * place + 0.02 * seed,
        }
        for method in ("a", "b")
        for part in ("generic", "unique")
        for place, factor in enumerate(studies.FACTOR_LOOKS)
        for seed in (0, 1)
    ]
    generic, unique = studies.probe_panels(pd.DataFrame(rows)).axes
    assert (generic.get_title(), unique.get_title()) == ("generic part", "unique part")
    bars = [artist for artist in generic.containers if isinstance(artist, ErrorbarContainer)]
    assert [bar.get_label() for bar in bars] == list(studies.FACTOR_LOOKS)
    assert np.allclose(
        [bar.lines[0].get_xdata() for bar in bars], [[0.01] * 2, [0.11] * 2, [0.21] * 2]
    )
    half = mean_interval([0.0, 0.02]).half_width
    assert np.allclose(bars[0].lines[2][0].get_segments()[0][:, 0], [0.01 - half, 0.01 + half])


def test_costs_are_points_beside_the_papers():
    rows = [
        {"system": "SEAa", "seconds": 9.0, "memory_mb": 800.0, "paper_seconds": 16.0},
        {"system": "bpr", "seconds": 0.5, "memory_mb": 300.0, "paper_seconds": np.nan},
    ]
    seconds, memory = studies.cost_points(pd.DataFrame(rows)).axes
    assert seconds.get_xscale() == "log" and memory.get_xlim()[0] == 0
    assert [float(line.get_xdata()[0]) for line in seconds.lines][:3] == [9.0, 16.0, 0.5]
    assert [float(line.get_xdata()[0]) for line in memory.lines] == [800.0, 300.0]
    assert seconds.lines[0].get_color() == main.look("sea")[0]


def test_a_modality_looks_the_same_in_every_panel_of_parts():
    places = np.arange(6.0).reshape(3, 2)
    maps = {
        "first": {"image/generic": places, "text/generic": places},
        "second": {"text/generic": places},
    }
    figure = studies.part_maps(maps)
    first, second = (axes for axes in figure.axes if axes.get_title())
    of_text = first.lines[1], second.lines[0]
    assert len({(line.get_marker(), line.get_color()) for line in of_text}) == 1
    assert first.lines[0].get_marker() != first.lines[1].get_marker()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "generic, image",
        "generic, text",
    ]
    assert np.array_equal(second.lines[0].get_xydata(), places)

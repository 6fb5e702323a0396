"""Figures of studies show what their tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from seapkg.analysis.statistics import mean_interval
from seapkg.figures import studies


def cost(difference, **columns):
    """A row of `tables.differences`."""
    row = {"dataset": "toy", "difference": difference, "by_seed": [0.05, 0.15]}
    for over, half_width in {"users": 0.2, "seeds": 0.4}.items():
        row |= {f"low, {over}": difference - half_width, f"high, {over}": difference + half_width}
    return row | columns


def whiskers(axes):
    """The ends of all error bars of a panel, [n, 2]."""
    bars = [artist for artist in axes.containers if isinstance(artist, ErrorbarContainer)]
    segments = [segment for bar in bars for segment in bar.lines[2][0].get_segments()]
    return np.array([segment[:, 0] for segment in segments])


def test_changes_have_a_row_each_with_both_intervals_and_a_point_per_seed():
    table = pd.DataFrame([cost(0.1, change="less"), cost(-0.2, change="none")])
    figure = studies.gain_panels(table)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["less", "none"]
    assert np.allclose(whiskers(axes), [[-0.3, 0.1], [0.0, 0.4]])
    (points,) = [line for line in axes.lines if line.get_marker() == "."]
    assert np.allclose(points.get_xdata(), [-0.05, -0.15, -0.05, -0.15])
    over_seeds = axes.collections[-1].get_segments()
    assert np.allclose([ends[:, 0] for ends in over_seeds], [[-0.5, 0.3], [-0.2, 0.6]])
    assert figure.get_supxlabel() == "gain in Recall@20, test (right is better)"


@pytest.mark.parametrize(
    "differences, arrows",
    [
        ([0.1, 40.0], [" ◂ -40.000"]),
        ([0.1, -40.0], ["40.000 ▸ "]),
        ([0.1, 2.0], []),
        ([40.0], []),
        ([0.1, 0.2, 40.0, 50.0], [" ◂ -40.000", " ◂ -50.000"]),
        ([0.1, 40.0, 50.0], []),
    ],
)
def test_rows_far_out_are_arrows_but_at_most_half_of_them(differences, arrows):
    table = pd.DataFrame([cost(value, change=str(value)) for value in differences])
    (axes,) = studies.gain_panels(table).axes
    assert [text.get_text() for text in axes.texts] == arrows
    low, high = axes.get_xlim()
    assert low == -high  # zero stands in the middle
    assert (high > max(np.abs(differences))) == (not arrows)


def test_one_seed_has_a_point_and_no_interval_over_seeds():
    row = cost(0.1, change="none", by_seed=[0.1]) | {"low, seeds": np.nan, "high, seeds": np.nan}
    (axes,) = studies.gain_panels(pd.DataFrame([row])).axes
    (points,) = [line for line in axes.lines if line.get_marker() == "."]
    assert list(points.get_xdata()) == [-0.1]
    assert not axes.collections[-1].get_segments()[0].size


def test_datasets_have_a_panel_each_with_the_same_rows():
    places = ("a", "less"), ("a", "none"), ("b", "none")
    rows = [cost(0.1, dataset=dataset, change=change) for dataset, change in places]
    first, second = studies.gain_panels(pd.DataFrame(rows)).axes
    assert [axes.get_title() for axes in (first, second)] == ["a", "b"]
    (bar,) = [artist for artist in second.containers if isinstance(artist, ErrorbarContainer)]
    assert list(bar.lines[0].get_ydata()) == [1]


def lost(difference, system, verdict="loss", **columns):
    return cost(difference, system=system, verdict=verdict, seeds=2, **columns)


def test_the_largest_loss_is_on_top_and_losses_point_to_the_right():
    rows = [lost(-0.2, "bm3", "not shown"), lost(0.3, "vbpr"), lost(0.1, "mgcn", "not shown")]
    (axes,) = studies.loss_by_system(pd.DataFrame(rows)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["vbpr", "mgcn", "bm3"]
    (bar,) = [artist for artist in axes.containers if isinstance(artist, ErrorbarContainer)]
    places = dict(zip(bar.lines[0].get_ydata(), bar.lines[0].get_xdata(), strict=True))
    assert places == {0: 0.3, 1: 0.1, 2: -0.2}
    assert np.allclose(sorted(whiskers(axes)[:, 0]), [-0.4, -0.1, 0.1])
    assert axes.get_title() == "toy: a significant loss for 1 of 3 systems"
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)  # the zero line


def test_one_seed_makes_no_finding():
    (axes,) = studies.loss_by_system(pd.DataFrame([lost(0.3, "vbpr") | {"seeds": 1}])).axes
    assert axes.get_title() == "toy"


def test_without_runs_a_figure_says_so():
    costs = pd.DataFrame(columns=list(lost(0.1, "none", change="none")))
    settings = pd.DataFrame(columns=["dataset", "option", "value", "is_default", "metric_value"])
    figures = (
        studies.gain_panels(costs),
        studies.loss_by_system(costs),
        studies.sensitivity(settings, {}),
        studies.part_maps({}),
    )
    for figure in figures:
        assert not figure.axes and figure.get_suptitle() == "no finished runs yet"


def test_sensitivity_rings_the_default_shades_its_seeds_and_joins_the_means():
    means = {0.4: 0.1, 0.2: 0.3, 0.1: 0.2}
    table = pd.DataFrame(
        {"dataset": "toy", "option": "temperature", "value": value, "is_default": value == 0.2,
         "seed": seed, "metric_value": mean + 0.01 * seed}
        for value, mean in means.items() for seed in (0, 1)
    )  # fmt: skip
    (axes,) = studies.sensitivity(table, {"toy": [0.31, 0.3, 0.35]}).axes
    (band,) = axes.patches
    assert np.allclose([band.get_y(), band.get_y() + band.get_height()], [0.3, 0.35])
    line, points = axes.lines
    assert np.allclose(line.get_ydata(), [0.205, 0.305, 0.105])
    assert list(line.get_xdata()) == ["0.1", "0.2", "0.4"]
    assert len(points.get_xdata()) == 6
    (rings,) = axes.collections
    assert np.allclose(rings.get_offsets(), [[1, 0.31], [1, 0.3]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]


def test_sensitivity_without_a_finished_default_has_no_band():
    row = {"dataset": "toy", "option": "x", "value": 1.0, "is_default": False, "seed": 0}
    (axes,) = studies.sensitivity(pd.DataFrame([row | {"metric_value": 0.1}]), {}).axes
    assert not axes.patches


def test_probes_have_a_panel_per_part_and_a_point_per_method_and_factor():
    table = pd.DataFrame(
        {"method": method, "part": part, "factor": factor, "seed": seed,
         "r2": 0.1 * place + 0.02 * seed}
        for method in ("a", "b")
        for part in ("generic", "unique")
        for place, factor in enumerate(studies.FACTOR_LOOKS)
        for seed in (0, 1)
    )  # fmt: skip
    generic, unique = studies.probe_panels(table).axes
    assert (generic.get_title(), unique.get_title()) == ("generic part", "unique part")
    bars = [artist for artist in generic.containers if isinstance(artist, ErrorbarContainer)]
    assert [bar.get_label() for bar in bars] == list(studies.FACTOR_LOOKS)
    means = [bar.lines[0].get_xdata() for bar in bars]
    assert np.allclose(means, [[0.01] * 2, [0.11] * 2, [0.21] * 2])
    half = mean_interval([0.0, 0.02]).half_width
    assert np.allclose(whiskers(generic)[0], [0.01 - half, 0.01 + half])


def test_selectivity_has_a_line_per_method_through_the_means():
    table = pd.DataFrame(
        {"method": "a", "part": part, "seed": seed, "shared": shared, "selectivity": shared + seed}
        for part in ("generic", "unique") for shared in (0.2, 0.8) for seed in (0, 1)
    )  # fmt: skip
    generic, _ = studies.selectivity_by_share(table).axes
    line, points, _ = generic.lines
    assert line.get_xydata().tolist() == [[0.2, 0.7], [0.8, 1.3]]
    assert len(points.get_xdata()) == 4


def test_costs_are_points_beside_the_papers():
    rows = [
        {"system": "SEAa", "seconds": 9.0, "memory_mb": 800.0, "paper_seconds": 16.0},
        {"system": "bpr", "seconds": 0.5, "memory_mb": 300.0, "paper_seconds": np.nan},
    ]
    seconds, memory = studies.cost_points(pd.DataFrame(rows)).axes
    assert seconds.get_xscale() == "log" and memory.get_xlim()[0] == 0
    measured, paper = (list(line.get_xdata()) for line in seconds.lines)
    assert measured == [9.0, 0.5] and paper[0] == 16.0
    assert list(memory.lines[0].get_xdata()) == [800.0, 300.0]
    assert [label.get_text() for label in seconds.get_yticklabels()] == ["SEAa", "bpr"]


def test_a_modality_looks_the_same_in_every_map_of_parts():
    places = np.arange(6.0).reshape(3, 2)
    maps = {
        "first": {"image/generic": places, "text/generic": places},
        "second": {"text/generic": places},
    }
    figure = studies.part_maps(maps)
    first, second = figure.axes
    texts = first.lines[1], second.lines[0]
    assert len({(line.get_marker(), line.get_color()) for line in texts}) == 1
    assert first.lines[0].get_marker() != first.lines[1].get_marker()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["generic, image", "generic, text"]
    assert np.array_equal(second.lines[0].get_xydata(), places)


def test_matrices_have_their_entries_written_in():
    (axes,) = studies.matrices({"graph": np.array([[0.0, 0.5]])}).axes
    assert [text.get_text() for text in axes.texts] == ["0.50"]

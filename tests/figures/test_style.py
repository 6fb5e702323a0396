"""The figure style stays inside its context, and a system looks the same everywhere."""

import matplotlib
import pandas as pd
import pytest

from seapkg.analysis.statistics import mean_interval
from seapkg.figures import style
from seapkg.models.registry import find

LABELS = ["sea", "SEA", "sea (released), n_layers=1", "sea, n_layers=1"]


@pytest.mark.parametrize("label", LABELS)
def test_formulations_look_like_their_system(label):
    assert style.look(label) == find("sea").look


def test_a_name_that_is_not_registered_has_one_look():
    assert style.look("stranger") == style.look("stranger, dim=8")


def test_the_style_ends_with_its_context():
    before = dict(matplotlib.rcParams)
    with style.style():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "metric, words",
    [("test/recall@20", "Recall@20, test"), ("ndcg@10", "NDCG@10"), ("loss", "loss")],
)
def test_axes_name_metric_cut_off_and_split(metric, words):
    assert style.axis_label(metric) == words


def test_places_left_over_in_the_last_row_are_empty():
    figure, all_axes = style.panels(4, 3, width=2, height=1)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    assert len(all_axes) == 4


def test_without_panels_a_figure_says_that_runs_are_missing():
    figure, all_axes = style.panels(0, width=2, height=1)
    assert all_axes == [] and figure.get_suptitle() == "no finished runs yet"


def test_facets_have_a_panel_for_each_pair_of_values_even_without_rows():
    table = pd.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 1]})
    _, places = style.facets(table, ["a", "b"], "{}, {}", width=2, height=1)
    assert [axes.get_title() for axes, _, _ in places] == ["x, 1", "x, 2", "y, 1", "y, 2"]
    assert [len(rows) for _, _, rows in places] == [1, 1, 1, 0]


def test_means_stand_at_their_rows_with_their_intervals():
    table = pd.DataFrame({"row": [0, 0, 1], "value": [1.0, 3.0, 5.0]})
    _, (axes,) = style.panels(1, width=2, height=1)
    style.plot_means(axes, table, "value", 0.5, fmt="o")
    ((points, _, (bars,)),) = axes.containers
    assert points.get_xydata().tolist() == [[2, 0.5], [5, 1.5]]
    half_width = mean_interval([1.0, 3.0]).half_width
    assert bars.get_segments()[0][:, 0] == pytest.approx([2 - half_width, 2 + half_width])

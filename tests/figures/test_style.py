"""The figure style stays inside its context, and a system looks the same everywhere."""

import matplotlib
import pytest

from seapkg.figures import style
from seapkg.models.registry import find

LABELS = ["sea", "SEA", "sea (released), n_layers=1", "sea, n_layers=1", "SEAa"]


@pytest.mark.parametrize("label", LABELS)
def test_formulations_and_variants_look_like_their_system(label):
    assert style.look(label) == find("sea").look


def test_a_name_that_is_not_registered_has_one_look():
    assert style.look("stranger") == style.look("stranger, dim=8")


def test_the_style_ends_with_its_context():
    before = dict(matplotlib.rcParams)
    with style.style():
        assert matplotlib.rcParams["figure.figsize"] == [3.5, 2.5]
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

"""The figure style stays inside its context, and a system looks the same everywhere."""

import matplotlib
import pytest

from seapkg.figures import style
from seapkg.models.registry import System


@pytest.fixture
def registry(monkeypatch):
    """Registers two systems with a look and two without."""
    looks = {
        "bpr": ("#E69F00", "D"),
        "plain": (None, None),
        "sea": ("#D55E00", "o"),
        "x": (None, None),
    }
    known = {
        name: System(name, name, "title", 2020, object, colour=colour, marker=marker)
        for name, (colour, marker) in looks.items()
    }
    monkeypatch.setattr(style, "systems", lambda: known)


def test_the_palette_is_okabe_and_itos():
    assert len(set(style.COLOURS)) == 8 and style.COLOURS[6] == "#D55E00"


@pytest.mark.parametrize(
    "label", ["sea", "SEA", "sea (released), n_layers=1", "sea, n_layers=1", "SEAa"]
)
def test_formulations_and_variants_look_like_their_system(registry, label):
    assert style.look(label) == ("#D55E00", "o")


def test_systems_without_a_look_take_markers_that_nobody_chose(registry):
    looks = [style.look(name) for name in ("bpr", "plain", "sea", "x")]
    assert len({marker for _, marker in looks}) == 4


def test_every_registered_system_has_a_look_of_its_own():
    looks = [style.look(name) for name in style.systems()]
    assert len(set(looks)) == len(looks)


def test_a_name_that_is_not_registered_has_one_look(registry):
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

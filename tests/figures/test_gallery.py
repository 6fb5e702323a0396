"""Figures and tables on disk: the same bytes each time, each with its origin in an index."""

import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure
from tiny import tiny

from seapkg.errors import RequestError
from seapkg.figures import gallery, style

ORIGIN = {
    "profile": "smoke",
    "notebook": "04_main_table",
    "runs": [],
    "data": "simulation",
    "caption": "A line.",
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SEAPKG_FIGURES", str(tmp_path / "figures"))
    return tmp_path / "figures"


def figure(slope=1):
    with style.style():
        drawn = Figure()
        drawn.subplots().plot([0, 1], [0, slope], marker="o", label="line")
    return drawn


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def index(root):
    return (root / "smoke" / "index.md").read_text()


def listed(root):
    """The names in the index."""
    return re.findall("^## (.*)$", index(root), re.MULTILINE)


def test_a_figure_is_two_files_and_an_index(root):
    saved = gallery.save_figure(figure(), "line", **ORIGIN)
    assert saved.path == root / "smoke" / "line.png"
    assert set(contents(root / "smoke")) == {"line.png", "line.svg", "index.md"}


def test_the_same_figure_gives_the_same_bytes(root):
    gallery.save_figure(figure(), "line", **ORIGIN)
    before = contents(root / "smoke")
    gallery.save_figure(figure(), "line", **ORIGIN)
    assert contents(root / "smoke") == before


def test_no_clock_and_no_software_in_the_files(root):
    gallery.save_figure(figure(), "line", **ORIGIN)
    assert b"Software" not in (root / "smoke" / "line.png").read_bytes()
    svg = (root / "smoke" / "line.svg").read_text()
    assert "<dc:date>" not in svg and "Matplotlib v" not in svg


def test_the_index_tells_notebook_caption_data_and_runs(root):
    runs = [SimpleNamespace(name=name) for name in "bab"]
    data = tiny(name="toy", provenance="real interactions, surrogate features")
    origin = ORIGIN | {"caption": "A\n  line.", "runs": runs, "data": [data, "simulation"]}
    gallery.save_figure(figure(), "line", **origin)
    assert (
        index(root)
        == """# Figures and tables of the profile smoke

## line

![line](line.png)

A line.

- files: [line.png](line.png), [line.svg](line.svg)
- notebook: 04_main_table
- data: toy: real interactions, surrogate features; simulation
- runs: a, b
"""
    )


def test_a_second_drawing_replaces_the_section(root):
    gallery.save_figure(figure(), "line", **ORIGIN)
    gallery.save_figure(figure(), "line", **ORIGIN | {"caption": "Another line."})
    assert listed(root) == ["line"] and "Another line." in index(root)
    assert "A line." not in index(root)


def test_data_of_unknown_origin_says_so(root):
    gallery.save_figure(figure(), "line", **ORIGIN | {"data": tiny(name="toy")})
    assert "- data: toy: unknown\n" in index(root)


def test_the_index_does_not_depend_on_the_order_of_drawing(root):
    pages = []
    for order in ("ab", "ba"):
        for name in order:
            gallery.save_figure(figure(), name, **ORIGIN)
        pages.append((root / "smoke" / "index.md").read_bytes())
        for path in (root / "smoke").iterdir():
            path.unlink()
    assert pages[0] == pages[1]


def test_what_is_no_longer_there_leaves_the_index(root):
    gallery.save_figure(figure(), "old", **ORIGIN)
    for ending in ("png", "svg"):
        (root / "smoke" / f"old.{ending}").unlink()
    gallery.save_figure(figure(), "new", **ORIGIN)
    assert listed(root) == ["new"]


def test_a_table_is_csv_with_every_digit_and_markdown_with_four(root):
    frame = pd.DataFrame({"model": ["sea", "b|r"], "R@20": [0.123456789, None], "seeds": [3, 1]})
    path = gallery.save_table(frame, "main", **ORIGIN)
    assert path.read_text() == (
        "| model   |   R@20 |   seeds |\n|:--------|-------:|--------:|\n"
        "| sea     | 0.1235 |       3 |\n| b\\|r    |        |       1 |\n"
    )
    assert "0.123456789" in (root / "smoke" / "main.csv").read_text()
    assert listed(root) == ["main"]


@pytest.mark.parametrize("profile", ["paper", "laptop"])
def test_profiles_do_not_touch_each_other(root, profile):
    gallery.save_figure(figure(), "line", **ORIGIN | {"profile": profile})
    before = contents(root / profile)
    gallery.save_figure(figure(2), "line", **ORIGIN)
    assert contents(root / profile) == before


@pytest.mark.parametrize("profile", ["", "../paper", "a/b"])
def test_a_profile_that_could_leave_the_folder_is_refused(profile):
    with pytest.raises(RequestError, match="name"):
        gallery.save_figure(figure(), "line", **ORIGIN | {"profile": profile})


@pytest.mark.parametrize("name", ["", "../line", "a/b", "line.png", ".line", "index.json"])
def test_a_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(RequestError, match="name"):
        gallery.save_figure(figure(), name, **ORIGIN)


def test_a_damaged_index_gets_the_new_section(root):
    gallery.save_figure(figure(), "line", **ORIGIN)
    (root / "smoke" / "index.md").write_bytes(b"\xff\n<<<<<<< HEAD\n")
    gallery.save_figure(figure(), "other", **ORIGIN)
    assert listed(root) == ["other"]


def save_some(letter):
    for number in range(5):
        gallery.save_table(pd.DataFrame({"x": [1]}), f"{letter}{number}", **ORIGIN)


def test_writers_at_the_same_time_lose_nothing(root):
    with ThreadPoolExecutor(3) as writers:
        list(writers.map(save_some, "abc"))
    assert listed(root) == [f"{letter}{number}" for letter in "abc" for number in range(5)]


def test_a_notebook_shows_a_saved_figure_with_its_caption_below(root, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda *parts: shown.extend(part.data for part in parts)
    )
    saved = gallery.save_figure(figure(), "line", **ORIGIN)
    saved._ipython_display_()
    assert shown == [saved.path.read_bytes(), "*A line.*"]

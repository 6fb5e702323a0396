"""The register of systems: names, rows of tables, and looks that nobody mistakes."""

from itertools import combinations

import pytest

from seapkg.errors import RequestError
from seapkg.models import find, registry, systems
from seapkg.models.registry import COLOURS, MARKERS, System

SYSTEMS = systems()
#: Colours that look alike in grey: two systems of one shade need different markers.
SHADES = (("black",), ("blue", "vermillion", "green"), ("purple", "orange", "sky"))


def toy(name: str) -> System:
    return System(name, name, "", 2030, object)


def luminance(colour: str) -> float:
    """Brightness from 0 to 1, as a grey print has it."""
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def grey(entry: System) -> tuple[int, str]:
    """The shade and the marker of a system: its look in grey."""
    colour, marker = entry.look
    codes = [[COLOURS[name] for name in shade] for shade in SHADES]
    return [colour in shade for shade in codes].index(True), marker


def free_looks() -> list[tuple[str, str]]:
    """Colour and marker of looks that differ from every system's in grey too."""
    taken = {grey(entry) for entry in SYSTEMS.values()}
    looks = [(number, marker) for number in range(len(SHADES)) for marker in MARKERS]
    return [
        (SHADES[number][0], marker) for number, marker in looks if (number, marker) not in taken
    ]


def test_a_system_is_found_by_its_name_in_the_order_of_years():
    assert all(find(name) is entry for name, entry in SYSTEMS.items())
    years = [entry.year for entry in SYSTEMS.values()]
    assert years == sorted(years)


def test_an_unknown_system_is_an_error_that_lists_the_known_and_guesses():
    with pytest.raises(RequestError, match="did you mean 'lightgcn'.*are popularity, ") as caught:
        find("lightgnc")
    assert all(name in str(caught.value) for name in SYSTEMS)


def test_two_systems_cannot_share_a_name(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))
    with pytest.raises(ValueError, match="two systems are called 'bpr'"):
        registry.system("bpr", paper="", title="", year=2030)(type("Other", (), {}))


def test_formulations_are_rows_of_the_main_table():
    assert SYSTEMS["bpr"].labels == {"bpr": {}}
    assert SYSTEMS["sea"].labels["sea (released)"] == {"formulation": "released"}


def test_every_look_is_an_okabe_ito_colour_and_a_marker():
    for entry in SYSTEMS.values():
        colour, marker = entry.look
        assert colour in COLOURS.values() and marker in MARKERS, entry.name


def test_systems_look_different_in_colour_and_in_grey():
    for one, other in combinations(SYSTEMS.values(), 2):
        assert grey(one) != grey(other), (
            f"{one.name} and {other.name} look alike in grey: give one of them a colour and a "
            f"marker in its @system decorator; free are {free_looks()[:5]}"
        )


def test_the_shades_are_told_apart_in_grey_and_every_colour_from_white():
    levels = [[luminance(COLOURS[name]) for name in shade] for shade in SHADES]
    for darker, brighter in zip(levels, levels[1:], strict=False):
        assert max(darker) + 0.1 < min(brighter)
    assert max(levels[-1]) < 0.75
    assert sorted(name for shade in SHADES for name in shade) == sorted(COLOURS)


def test_there_are_looks_for_twenty_systems_and_more():
    assert len(SHADES) * len(MARKERS) >= 30


def test_a_new_system_has_a_look_and_changes_that_of_no_other(monkeypatch):
    before = {name: entry.look for name, entry in SYSTEMS.items()}
    register = registry._REGISTER | {name: toy(name) for name in ("aaa", "zzz")}
    monkeypatch.setattr(registry, "_REGISTER", register)
    after = {name: entry.look for name, entry in systems().items()}
    assert {name: after[name] for name in before} == before
    assert toy("aaa").look == after["aaa"] and after["aaa"] != after["zzz"]

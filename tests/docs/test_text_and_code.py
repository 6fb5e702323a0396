"""The tables of docs/text_and_code.md agree with the configurations."""

from dataclasses import asdict
from pathlib import Path

import pytest

from seapkg.runs.configure import configure

TEXT = (Path(__file__).parents[2] / "docs" / "text_and_code.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, cell by cell, without backticks."""
    lines = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return [[cell.strip("`") for cell in row] for row in rows[2:]]


def options(system: str, **chosen) -> dict[str, str]:
    """Every option of a system and its training as text."""
    config, training = configure(system, chosen)
    return {name: str(value) for name, value in (asdict(training) | asdict(config)).items()}


def differences(system: str, formulations: tuple[str, str]) -> dict[str, list[str]]:
    first, second = (options(system, formulation=name) for name in formulations)
    pairs = {name: [first[name].lower(), second[name].lower()] for name in first}
    del pairs["formulation"]
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def test_the_ten_switches_of_sea_are_what_the_formulations_differ_in():
    rows = {
        option: [paper, released] for option, paper, released, _ in table("SEA: the ten switches")
    }
    assert len(rows) == 10 and rows == differences("sea", ("paper", "released"))


def test_the_settings_of_sea_are_the_defaults():
    stated = {}
    for _, _, names, values in table("SEA: settings"):
        stated |= dict(zip(names.split("`, `"), map(float, values.split(", ")), strict=True))
    defaults = options("sea")
    assert len(stated) == 13
    assert stated == {option: float(defaults[option]) for option in stated}


def test_the_questionable_points_of_rearm_are_what_the_formulations_differ_in():
    rows = [[cell.split("`")[0] for cell in row] for row in table("REARM: questionable points")]
    stated = {option: [clean, released] for option, clean, released in rows}
    assert stated == differences("rearm", ("clean", "released"))


@pytest.mark.parametrize("column, preset", [(2, "baby"), (3, "sports"), (4, "clothing")])
def test_the_model_card_is_what_the_presets_have(column, preset):
    stated = {row[1]: float(row[column]) for row in table("REARM: the model card")}
    chosen = options("rearm", preset=preset)
    assert len(stated) == 16
    assert stated == {option: float(chosen[option]) for option in stated}

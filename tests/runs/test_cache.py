"""Cached results are made once, come back to the last bit, and a damaged cache is named."""

import json
import math
from pathlib import Path

import pytest

from seapkg.analysis.probes import PROBES_VERSION
from seapkg.errors import SeapkgError
from seapkg.runs import cache
from seapkg.runs.run import Run
from seapkg.runs.store import Store

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"


@pytest.fixture
def made():
    """A maker of rows that counts how often it was asked."""

    def make():
        make.times += 1
        return [{"value": 0.1 + 0.2, "times": make.times}, {"value": math.inf, "pair": (1, 2)}]

    make.times = 0
    return make


def test_it_is_made_once_and_comes_back_the_same(made, tmp_path):
    first = cache.once("things", {"a": 1, "b": [2]}, made, store=Store(tmp_path))
    again = cache.once("things", {"b": [2], "a": 1}, made, store=Store(tmp_path))
    assert again == first == [{"value": 0.1 + 0.2, "times": 1}, {"value": math.inf, "pair": [1, 2]}]


def test_another_setting_or_kind_is_another_thing(made, tmp_path):
    for kind, of in (("things", {"a": 1}), ("things", {"a": 2}), ("others", {"a": 1})):
        cache.once(kind, of, made, store=Store(tmp_path))
    assert made.times == 3


def test_again_makes_it_anew_and_keeps_that(made, tmp_path):
    cache.once("things", {"a": 1}, made, store=Store(tmp_path))
    cache.once("things", {"a": 1}, made, store=Store(tmp_path), again=True)
    assert cache.once("things", {"a": 1}, made, store=Store(tmp_path))[0]["times"] == 2


def test_the_reference_is_read_and_never_written(made, tmp_path):
    cache.once("things", {"a": 1}, made, store=Store(tmp_path / "reference"))
    both = Store(tmp_path / "own", reference=tmp_path / "reference")
    assert cache.once("things", {"a": 1}, made, store=both)[0]["times"] == 1
    before = (tmp_path / "reference/things.json").read_bytes()
    assert cache.once("things", {"a": 1}, made, store=both, again=True)[0]["times"] == 2
    assert cache.once("things", {"a": 1}, made, store=both)[0]["times"] == 2
    assert (tmp_path / "reference/things.json").read_bytes() == before


def test_a_failure_is_not_kept(tmp_path):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.once("things", {"a": 1}, fail, store=Store(tmp_path))
    assert cache.every("things", Store(tmp_path)) == {}


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_damaged_file_is_named(made, tmp_path, text):
    (tmp_path / "things.json").write_text(text)
    with pytest.raises(SeapkgError, match=r"things\.json cannot be read .* delete it"):
        cache.once("things", {"a": 1}, made, store=Store(tmp_path))


def test_every_committed_probe_is_of_the_code_as_it_is(tmp_path):
    """A changed `PROBES_VERSION` would lose probes whose models are not committed."""
    committed = cache.every("probes", Store(tmp_path, reference=REFERENCE))
    keys = [json.loads(key) for key in committed]
    assert len(keys) >= 67 and {key["code"] for key in keys} == {PROBES_VERSION}
    for name in {key["run"] for key in keys}:
        run = Run(REFERENCE / name)
        assert {"code": PROBES_VERSION, "created": run.record["created"], "run": name} in keys

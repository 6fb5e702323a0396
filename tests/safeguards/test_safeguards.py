"""What was true before a refactoring is true after it: finished runs are found, plans name the same runs, and three
epochs of every system give the same numbers. `record.py` says how to record a change that is meant.

    python -m pytest tests/safeguards                     # on any machine, with tolerances
    SEAPKG_EXACT=1 python -m pytest tests/safeguards      # on the machine of the record, bit for bit
"""

import json
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bridge  # noqa: E402

EXACT = os.environ.get("SEAPKG_EXACT") == "1"

# Elsewhere sums are taken in another order (other instructions, another BLAS or torch), and Adam's first steps turn the
# sign of a gradient near zero into a whole step. Measured on one machine with torch's and MKL's plainest instructions
# instead of AVX512: at most 2e-5 in the first epoch and 4e-4 in the third, of the largest term. A changed formula,
# batch, initialisation or draw moves the first epoch by more than 1e-4. Of the largest term, not of its own, because
# CLUB's bound is a difference of two means near 1 and may be near 0.
LOSSES = (1e-4, 1e-3, 1e-3)  # by epoch
# A metric is a step function of the scores: one swapped pair of items moves a user's Recall@20 by 1 / (held-out
# items), and a metric of 1000 users by up to 0.001. Measured as above: at most 0.003. A wrong ranking misses by more.
METRICS = 0.02


def recorded(name):
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


COMMITTED, PLANNED, TRAJECTORIES = recorded("committed_runs"), recorded("planned_runs"), recorded("trajectories")
SLOW = {"full size/rearm clean", "full size/rearm released"}


def test_no_committed_run_is_gone():
    assert COMMITTED and not set(COMMITTED) - set(bridge.committed_names())


def test_every_committed_runs_key_is_that_of_its_record():
    names = [*COMMITTED, *bridge.committed_names()]
    assert {name: bridge.recomputed_name(name) for name in names} == {name: name for name in names}
    assert all(name.endswith(f"-{key}") for name, key in COMMITTED.items())


def test_the_store_finds_every_committed_run_by_its_spec(tmp_path):
    names = bridge.committed_names()
    assert [bridge.found_name(name, tmp_path) for name in names] == names


def test_the_options_of_every_committed_run_plan_the_same_run():
    names = bridge.committed_names()
    assert [bridge.replanned_name(name) for name in names] == names


def test_there_are_the_same_profiles():
    assert bridge.profiles() == list(PLANNED)


@pytest.mark.parametrize("profile", PLANNED)
def test_a_profile_plans_the_same_runs_in_all(profile):
    before, after = (
        {name for names in topics.values() for name in names}
        for topics in (PLANNED[profile], bridge.planned_names(profile))
    )
    assert (sorted(before - after), sorted(after - before)) == ([], [])


@pytest.mark.parametrize("profile", PLANNED)
def test_every_topic_plans_the_same_runs(profile):
    assert bridge.planned_names(profile) == PLANNED[profile]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in TRAJECTORIES["cases"]]
)
def test_three_epochs_give_the_same_numbers(name):
    case = TRAJECTORIES["cases"][name]
    found = bridge.trajectory(case["model"], case["options"])
    assert {kind: list(found[kind]) for kind in found} == {kind: list(case[kind]) for kind in found}
    if EXACT:
        assert found == {kind: case[kind] for kind in found}
        return
    for epoch, share in enumerate(LOSSES if case["losses"] else ()):
        losses, expected = ({term: x[epoch] for term, x in of["losses"].items()} for of in (found, case))
        assert losses == pytest.approx(expected, rel=0, abs=share * max(map(abs, expected.values()))), epoch
    for metric, values in case["valid"].items():
        assert found["valid"][metric] == pytest.approx(values, abs=METRICS), metric
    assert found["test"] == pytest.approx(case["test"], abs=METRICS)

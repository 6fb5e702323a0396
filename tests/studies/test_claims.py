"""Claims: each verdict from known numbers; each claim names arms and checks that exist."""

import math

import fakes
import numpy as np
import pandas as pd
import pytest

from seapkg.data.catalogue import KNOWN
from seapkg.errors import RequestError
from seapkg.studies import claims, tables
from seapkg.studies.base import Arm, Result, Results, Study
from seapkg.studies.checks import CHECKS, Comparison
from seapkg.studies.claims import Claim, judge
from seapkg.studies.families import FAMILIES, rearm_and_sea

CLAIM = Claim("toy", "SEA", "Fig. 3", "Both parts help.", "05_ablation", family="ablation",
              arms=("w/o A", "w/o B"))  # fmt: skip


def results_of(folder, groups, dataset="baby", arms=None):
    """Results of a made-up study; `groups`: label -> test metrics by seed."""
    arms = arms or [Arm(label, "bpr") for label in groups]
    rows = []
    for number, arm in enumerate(arms):
        values = groups[arm.label]
        specs = [fakes.spec(seed=seed, n_layers=number) for seed in range(len(values))]
        store = fakes.store_of(folder / str(number), *specs, values=values)
        rows += [Result(dataset, arm, None, store.find(spec)) for spec in specs]
    study = Study("ablation", tuple(arms), {dataset: KNOWN["baby"]}, tables.differences)
    return Results(study, rows)


def verdict_of(folder, groups, claim=CLAIM):
    table = FAMILIES[claim.family].table(results_of(folder, groups))
    return claims.verdicts(claim, table, ["baby"])["baby"]


SEA = [0.50, 0.51, 0.52]
WORSE, BETTER = [0.400, 0.411, 0.419], [0.600, 0.609, 0.621]
ALIKE = [0.52, 0.49, 0.53]


@pytest.mark.parametrize(
    ("without_a", "without_b", "verdict"),
    [
        (WORSE, WORSE, "holds"),
        (WORSE, BETTER, "does not hold"),
        (ALIKE, BETTER, "does not hold"),
        (WORSE, ALIKE, "not shown"),
        (WORSE, WORSE[:1], "not measured"),
        (WORSE, [], "not measured"),
        (ALIKE, [], "not shown"),
    ],
)
def test_a_study_with_known_numbers_gives_each_verdict(tmp_path, without_a, without_b, verdict):
    found = verdict_of(tmp_path, {"SEA": SEA, "w/o A": without_a, "w/o B": without_b})
    assert found.word == verdict
    assert found.tested == (len(without_a) > 1) + (len(without_b) > 1) and found.wanted == 2


def test_not_shown_names_the_largest_detectable_difference(tmp_path):
    groups = {"SEA": SEA, "w/o A": ALIKE, "w/o B": [0.53, 0.45, 0.56]}
    table = tables.differences(results_of(tmp_path / "again", groups))
    found = verdict_of(tmp_path, groups)
    assert found.word == "not shown" and found.detectable == table["detectable"].max()
    assert str(found) == f"not shown (detectable: {found.detectable:.4f})".replace(" 0.", " .")


def test_a_claim_may_put_the_other_arm_higher(tmp_path):
    groups = {"SEA": SEA, "w/o A": BETTER, "w/o B": BETTER}
    claim = Claim(**{**vars(CLAIM), "higher": "arms"})
    assert verdict_of(tmp_path / "a", groups, claim).word == "holds"
    assert verdict_of(tmp_path / "b", groups).word == "does not hold"


def test_one_p_value_below_the_level_is_not_enough():
    assert judge([Comparison(0.1, (0.01, 0.2), 0.3)]).word == "not shown"
    assert judge([Comparison(0.1, (0.01, 0.049), 0.3)]).word == "holds"
    assert judge([]).word == "not measured"


@pytest.mark.parametrize(
    ("gain", "p", "detectable", "verdict"),
    [
        (0.01, 0.9, 0.04, "holds"),
        (0.01, 0.9, 0.06, "not shown"),
        (0.20, 0.01, 0.04, "does not hold"),
        (0.01, 0.01, 0.005, "holds"),
    ],
)
def test_a_claim_of_no_gain_needs_a_study_that_would_have_found_one(gain, p, detectable, verdict):
    assert judge([Comparison(gain, (p,), detectable)], margin=0.05).word == verdict


def test_a_verdict_says_how_many_comparisons_were_tested():
    some = [Comparison(0.1, (0.01,), 0.05), Comparison(0.2)]
    assert str(judge(some, wanted=3)) == "not measured (1 of 3 comparisons)"
    assert str(judge(some[:1])) == "holds" and math.isnan(judge(some[:1]).detectable)


def test_the_verdict_on_rearm_and_sea_is_that_of_the_main_table(tmp_path):
    pair = {"sea (released)": SEA, "rearm (clean)": [0.52, 0.54, 0.53]}
    more = {**pair, "bpr": [0.4, 0.41, 0.42], "freedom": [0.51, 0.51, 0.53]}
    without = {"sea (released)": SEA, "bpr": SEA}
    alone, main, without = (
        results_of(tmp_path / str(n), groups, arms=[Arm(label, label) for label in groups])
        for n, groups in enumerate((pair, more, without))
    )
    family = FAMILIES["rivals"].table(main).set_index("change")
    (row,) = rearm_and_sea(alone, main).to_dict("records")
    assert row["Holm's p, seeds"] == family.at["rearm (clean)", "Holm's p, seeds"]
    assert row["difference"] == -family.at["rearm (clean)", "difference"] > 0
    (row,) = rearm_and_sea(alone, without).to_dict("records")
    assert row["Holm's p, seeds"] < family.at["rearm (clean)", "Holm's p, seeds"]


@pytest.mark.parametrize("name", claims.claims())
def test_every_claim_names_what_exists(name):
    claim = claims.find(name)
    assert claim.statement.endswith(".") and bool(claim.check) != bool(claim.family)
    if claim.check:
        assert claim.check in CHECKS
        return
    study = claim.study()
    labels = {arm.label for arm in study.arms if not claim.system or arm.family == claim.system}
    assert claim.arms and set(claim.arms) <= labels and claim.higher in ("reference", "arms")
    dataset = next(iter(study.data))
    planned = {plan.spec.name for plan in study.plans()}
    needed = {plan.spec.name for plan in claim.needed(study, dataset)}
    assert len(needed) > len(claim.arms) and needed <= planned


def test_every_check_is_asked_by_a_claim():
    assert {claim.check for claim in claims.claims().values()} - {""} == set(CHECKS)


def test_an_unknown_claim_and_a_check_with_data_are_refused():
    with pytest.raises(RequestError, match="known are theorem1"):
        claims.find("fig33")
    with pytest.raises(RequestError, match="no dataset"):
        claims.find("eq15").study()


def test_the_angles_of_another_density_would_not_pass(monkeypatch):
    from seapkg.analysis import angles

    assert CHECKS["random_angles"]().holds
    draw = angles.sample_angles
    monkeypatch.setattr(angles, "sample_angles", lambda n, *rest: draw(n + 1, *rest))
    assert not CHECKS["random_angles"]().holds


def test_the_identity_of_theorem_2_would_not_pass_with_its_terms_swapped(monkeypatch):
    from seapkg.analysis import information

    assert CHECKS["club_divergences"]().holds
    terms = information.divergences
    monkeypatch.setattr(information, "divergences", lambda *given: terms(*given)[::-1])
    assert not CHECKS["club_divergences"]().holds


def test_without_the_committed_tables_a_check_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verdict, _ = claims.verdict_of_check(claims.find("eq15"))
    assert verdict.word == "not measured"


def test_the_comparisons_of_parts_by_hand(monkeypatch):
    from seapkg.studies import representations

    rows = [
        ("image/generic", "text/generic", "retrieval@10", value, "baby", model, seed)
        for model, values in {"SEA": [0.5, 0.7], "w/o Alignment": [0.2, 0.2]}.items()
        for seed, value in enumerate(values)
    ]
    rows.append(("image/unique", "text/unique", "retrieval@10", 9.0, "baby", "SEA", 0))
    columns = [*representations.COLUMNS, "dataset", "model", "seed"]
    monkeypatch.setattr(
        representations, "measures_table", lambda _: pd.DataFrame(rows, columns=columns)
    )
    (row,) = representations.comparisons(None).to_dict("records")
    assert row["change"] == "w/o Alignment" and row["difference"] == pytest.approx(0.4)
    # t = 0.4 / 0.1 with 1 degree of freedom: p = 1 - 2/pi arctan(4)
    assert row["Holm's p, seeds"] == pytest.approx(1 - 2 / np.pi * np.arctan(4))
    assert row["seeds"] == 2

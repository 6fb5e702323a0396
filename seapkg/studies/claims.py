"""The claims of both papers and their verdicts: `python -m seapkg claims`.

`claims.yaml` has each claim, and the rule that turns numbers into its verdict: a comparison of a
study, or a check that trains nothing. The verdicts:

- "holds": all comparisons of the claim are significant after Holm's correction, and agree with it.
- "does not hold": one of them is significant and contradicts it, or a check found the opposite.
- "not shown": one of them is not significant. The verdict names the smallest difference that would
  have been, the half-width of the Holm-corrected interval.
- "not measured": a comparison has no runs, or only one seed, and no other verdict is reached.

Comparisons are paired by user and by seed; both t-tests must be significant.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from seapkg.errors import RequestError, look_up
from seapkg.runs.store import Store
from seapkg.studies import profiles, studies_of
from seapkg.studies.checks import CHECKS, Comparison
from seapkg.studies.families import FAMILIES
from seapkg.studies.tables import P_VALUES

if TYPE_CHECKING:
    from seapkg.data import Dataset
    from seapkg.runs.train import Plan
    from seapkg.studies.base import Study

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"
NOT_SHOWN, NOT_MEASURED = "not shown", "not measured"
PROFILE = "laptop"  # its datasets and seeds
SEEDS = (0, 1, 2)  # on other datasets


@dataclass(frozen=True)
class Claim:
    """A claim and its rule; see the head of `claims.yaml` for the attributes."""

    name: str
    paper: str
    where: str
    statement: str
    notebook: str
    check: str = ""
    family: str = ""
    system: str = ""
    arms: tuple[str, ...] = ()
    higher: str = "reference"

    def study(self, data: Dataset | None = None, max_epochs: int | None = None) -> Study:
        """The study that tests the claim, with the datasets and seeds of the profile.

        Args:
            data: takes the place of the profile's dataset of that name; a dataset that the profile
                does not have is studied alone.
            max_epochs: limits all trainings.

        Raises:
            RequestError: the claim needs no training.
        """
        if not self.family:
            raise RequestError(f"the claim {self.name} needs no training and no dataset")
        parameters = dict(profiles.parameters(PROFILE)[self.notebook])
        if data is not None:
            parameters |= _with(parameters, data)
        if max_epochs is not None:
            parameters["max_epochs"] = max_epochs
        return studies_of(self.notebook, parameters)[FAMILIES[self.family].study]

    def needed(self, study: Study, dataset: str) -> list[Plan]:
        """The plans of `study` that the claim needs on a dataset, finished or not."""
        family = FAMILIES[self.family]
        in_system = [arm for arm in study.arms if not self.system or arm.family == self.system]
        reference = family.reference or in_system[0].label
        wanted = [arm for arm in in_system if arm.label in (reference, *self.arms)]
        data = {dataset: study.data[dataset]}
        return dataclasses.replace(study, arms=tuple(wanted), datasets=data).plans()

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The comparisons of the claim, from the table of its family."""
        chosen = table["change"].isin(self.arms)
        if self.system:
            chosen &= table["system"] == self.system
        return table[chosen]

    def comparisons(self, rows: pd.DataFrame) -> list[Comparison]:
        """The comparisons of one dataset, turned so that a gain agrees with the claim."""
        sign = 1 if self.higher == "reference" else -1
        found = []
        for row in rows.to_dict("records"):
            tested = row["seeds"] > 1
            p_values = tuple(row[name] for name in P_VALUES if name in row) if tested else ()
            found.append(Comparison(sign * row["difference"], p_values, row["detectable"]))
        return found


@dataclass(frozen=True)
class Verdict:
    """A verdict with the numbers of its comparisons.

    Attributes:
        word: one of the four verdicts.
        tested, wanted: the comparisons with at least two seeds, and those of the claim.
        detectable: for "not shown", the smallest difference that all tests would have found.
    """

    word: str
    tested: int = 1
    wanted: int = 1
    detectable: float = math.nan

    def __str__(self) -> str:
        notes = []
        if self.word == NOT_SHOWN:
            notes.append(f"detectable: {self.detectable:.4f}".replace(" 0.", " ."))
        if self.tested < self.wanted and self.tested:
            notes.append(f"{self.tested} of {self.wanted} comparisons")
        return f"{self.word} ({'; '.join(notes)})" if notes else self.word


def claims() -> dict[str, Claim]:
    """Name -> claim, in the order of the papers."""
    return {name: Claim(name, **fields) for name, fields in _declared().items()}


def find(name: str) -> Claim:
    """The claim called `name`; raises RequestError with the known names."""
    return look_up("claim", name, claims())


def judge(
    comparisons: Sequence[Comparison], wanted: int | None = None, margin: float | None = None
) -> Verdict:
    """The verdict on a claim.

    Args:
        comparisons: those with runs.
        wanted: the number of comparisons that the claim makes; None takes all.
        margin: the claim is that no gain exceeds this; None if it is that all gains are above 0.
    """
    wanted = len(comparisons) if wanted is None else wanted
    tested = [one for one in comparisons if one.p_values]
    shown = [one for one in tested if one.is_significant]
    unclear = [one.detectable for one in tested if not one.is_significant]
    contradicted = any(one.gain < 0 for one in shown)
    if margin is not None:
        contradicted = any(one.gain > margin for one in shown)
        unclear = [size for size in unclear if size > margin]
    if contradicted:
        word = DOES_NOT_HOLD
    elif unclear:
        word = NOT_SHOWN
    else:
        word = HOLDS if len(tested) == wanted and tested else NOT_MEASURED
    return Verdict(word, len(tested), wanted, max(unclear, default=math.nan))


def verdict_of_check(claim: Claim) -> tuple[Verdict, str]:
    """The verdict on a claim that needs no training, and its evidence in words."""
    check = look_up("check", claim.check, CHECKS)()
    if check is None:
        return Verdict(NOT_MEASURED), "the table of its notebook is missing"
    if check.comparisons:
        return judge(check.comparisons, margin=check.margin), check.evidence
    return Verdict(HOLDS if check.holds else DOES_NOT_HOLD), check.evidence


def verdicts(claim: Claim, table: pd.DataFrame, datasets: Iterable[str]) -> dict[str, Verdict]:
    """Dataset -> the verdict on a claim, from the table of its family."""
    rows = claim.rows(table)
    return {
        dataset: judge(claim.comparisons(rows[rows["dataset"] == dataset]), len(claim.arms))
        for dataset in datasets
    }


def claims_table(store: Store) -> pd.DataFrame:
    """All claims with their verdicts from finished runs; trains nothing."""
    tables: dict[str, tuple[pd.DataFrame, list[str]]] = {}
    rows = []
    for claim in claims().values():
        if claim.check:
            verdict, evidence = verdict_of_check(claim)
            cell = f"**{verdict}**: {evidence}"
        else:
            if claim.family not in tables:
                results = claim.study().runs(store, offline=True)
                table = FAMILIES[claim.family].table(results)
                tables[claim.family] = table, list(results.study.data)
            found = verdicts(claim, *tables[claim.family])
            cell = "; ".join(f"{dataset}: **{verdict}**" for dataset, verdict in found.items())
        origin = ", ".join(filter(None, (claim.paper, claim.where)))
        rows.append((f"`{claim.name}`", origin, claim.statement, cell, claim.notebook[:2]))
    return pd.DataFrame(rows, columns=["claim", "where", "statement", "verdict", "notebook"])


def markdown(store: Store) -> str:
    """`claims_table` as Markdown."""
    return claims_table(store).to_markdown(index=False, tablefmt="github", disable_numparse=True)


def _with(parameters: dict[str, Any], data: Dataset) -> dict[str, Any]:
    """Parameters for `data`, in place of the profile's dataset of that name or alone."""
    names = parameters["datasets"]
    if data.name in names:
        return {"datasets": [data if name == data.name else name for name in names]}
    seeds = parameters["seeds"]
    return {"datasets": [data], "seeds": SEEDS if isinstance(seeds, dict) else seeds}


@cache
def _declared() -> dict[str, dict[str, Any]]:
    text = (resources.files("seapkg.studies") / "claims.yaml").read_bytes()
    declared = yaml.safe_load(text)
    return {
        name: fields | ({"arms": tuple(fields["arms"])} if "arms" in fields else {})
        for name, fields in declared.items()
    }

"""Holm's families: the comparisons whose p-values are corrected together, named once.

A family has all comparisons of its arms on all datasets of the study, whether or not a table shows
them; comparisons with a single seed cannot be decided and do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seapkg.studies import tables
from seapkg.studies.base import find_row
from seapkg.studies.plug_in import FEATURES_IN_SCORE
from seapkg.studies.representations import comparisons

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.studies.base import Results

MULTIMODAL = ("vbpr", "mmgcn", "dualgnn", "lattice", "slmrec", "bm3", "freedom", "mgcn", "lgmrec")


@dataclass(frozen=True)
class Family:
    """One arm of a study against others.

    Attributes:
        study: the name of the study.
        reference: the arm that the others are compared with; "" takes the first of each family of
            arms, and compares it with the rest.
        others: the other arms; () takes those of all other systems.
        tabulate: makes the table where the comparisons are not of a test metric.
    """

    study: str
    reference: str = ""
    others: tuple[str, ...] = ()
    tabulate: Callable[[Results], pd.DataFrame] | None = None

    def table(self, results: Results, nearest: int | None = None) -> pd.DataFrame:
        """`tables.differences` of the family, or what `tabulate` makes."""
        if self.tabulate:
            return self.tabulate(results)
        arms = [self.reference, *self._others(results)] if self.reference else None
        return tables.differences(results, arms, nearest=nearest)

    def _others(self, results: Results) -> tuple[str, ...]:
        if self.others:
            return self.others
        system, _ = find_row(self.reference)
        return tuple(arm.label for arm in results.study.arms if find_row(arm.system)[0] != system)


#: The main table has two families; SEA against REARM is in the first.
FAMILIES = {
    "rivals": Family("main_table", "sea (released)"),
    "rearm's rivals": Family("main_table", "rearm (clean)", MULTIMODAL),
    "ablation": Family("ablation"),
    "sensitivity": Family("sensitivity"),
    "plug_in": Family("plug_in"),
    "plug_in, features in the score": Family("plug_in", FEATURES_IN_SCORE, ("+ SEA",)),
    "variants": Family("variants"),
    "paper_and_code": Family("paper_and_code"),
    "representations": Family("representations", tabulate=comparisons),
    "rearm_parts": Family("rearm_parts"),
    "rearm_leak": Family("rearm_leak"),
}


def rearm_and_sea(rivals: Results, main: Results) -> pd.DataFrame:
    """What REARM gains over SEA, corrected in the family of the main table.

    Args:
        rivals: the study `rearm_rivals`, which is a family by itself if `main` lacks REARM.
        main: the study `main_table`.
    """
    family = FAMILIES["rivals"]
    tables_of = [tables.as_gains(family.table(results)) for results in (main, rivals)]
    found = [table[table["change"] == "rearm (clean)"] for table in tables_of]
    rows = found[0] if len(found[0]) else found[1]
    return rows[rows["dataset"].isin(rivals.study.data)]

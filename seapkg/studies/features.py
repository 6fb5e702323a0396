"""Do the features matter? Each system with real features, with shuffled ones, with one modality.

A run on altered data has the options that were chosen on the original.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from seapkg.analysis.statistics import mean_interval
from seapkg.data import Dataset
from seapkg.data.altered import SHUFFLED, only, original_and_change, shuffled
from seapkg.data.catalogue import KNOWN, Known, load_or_known
from seapkg.runs.tuned import tuned
from seapkg.studies import tables
from seapkg.studies.base import Arm, Results, Study, declares, rows
from seapkg.studies.item_groups import CUTOFF, METRIC, RAREST, UNTRAINED, item_groups

REAL = "real"
#: A run takes an hour or more.
TOO_SLOW = ("micro", "mmssl")
GROUP = ["dataset", "system", "change", "seed", "recall", "users", "ranked"]
COLD = ["dataset", "system", REAL, SHUFFLED, "loss", "half_width", "seeds", "users", "chance"]


@declares("features")
def features(
    datasets: Iterable[str | Dataset | Known], systems: Iterable[str] | None = None, **shared: Any
) -> Study:
    """Each system on each dataset, on its shuffled copy, and on each modality alone.

    Args:
        systems: rows of the main table; None takes `feature_systems()`.
    """
    copies = [copy for data in datasets for copy in versions(data)]
    return _study("features", copies, systems, losses, shared)


@declares("features")
def cold_items(
    cold_on: Iterable[str | Dataset | Known],
    cold_systems: Iterable[str] | None = None,
    **shared: Any,
) -> Study:
    """Each system on each dataset and on its shuffled copy, for items without a training pair."""
    copies = [copy for data in cold_on for copy in versions(data)[:2]]
    return _study("cold_items", copies, cold_systems, cold_table, shared)


def feature_systems() -> list[str]:
    """The rows of the main table that read features, without those of `TOO_SLOW`."""
    return [
        label
        for label, (system, _) in rows().items()
        if system.model.needs_features and system.name not in TOO_SLOW
    ]


def versions(data: str | Dataset | Known) -> list[Dataset | Known]:
    """A dataset, its shuffled copy, and each modality alone if there are several."""
    data = data if isinstance(data, Dataset | Known) else load_or_known(data)
    if isinstance(data, Known):
        altered = [name for name in KNOWN if name.startswith(f"{data.name}, ")]
        return [data, *(KNOWN[name] for name in altered)]
    alone = data.modalities if len(data.modalities) > 1 else ()
    return [data, shuffled(data), *(only(data, modality) for modality in alone)]


def losses(results: Results) -> pd.DataFrame:
    """What each system loses with shuffled features: `tables.differences`, a family per system."""
    table = tables.differences(by_change(results), [REAL, SHUFFLED])
    return table if "system" in table else table.assign(system="")  # no run is finished


def by_system(results: Results) -> pd.DataFrame:
    """One row per dataset and system: Recall@20 with real and with altered features.

    "loss" is real minus shuffled, with its intervals, paired by user and seed. The last columns are
    the Recall@20 on the rarest third of the items, nan where no run of a system has measures.
    """
    keys = ["dataset", "system"]
    wide = tables.readable(losses(results), "loss").set_index(keys)
    wide = wide.rename(columns={"mean": SHUFFLED})
    wide.insert(0, REAL, wide[SHUFFLED] + wide["loss"])
    others = _test_means(results).drop(columns=[REAL, SHUFFLED], errors="ignore")
    rare = _by_seed(results, RAREST).groupby(keys)[[REAL, SHUFFLED]].mean()
    rare = rare.add_prefix(f"{RAREST}, ")
    paired = ["loss", "over users", "over seeds", "seeds", "verdict"]
    wide = wide[[REAL, SHUFFLED]].join(others).join(wide[paired]).join(rare).reset_index()
    sources = {name: data.provenance or "unknown" for name, data in results.study.data.items()}
    return wide.assign(data=wide["dataset"].map(sources))


def cold_table(results: Results) -> pd.DataFrame:
    """Recall@20 among the items without a training pair, one row per dataset and system: `COLD`.

    "loss" is real minus shuffled, the mean over the seeds that have both, with half the width of
    its 95 % interval over seeds. "chance" is the mean Recall@20 of a random ranking.
    """
    cold = []
    pairs = _by_seed(results, UNTRAINED)
    for (dataset, system), group in pairs.groupby(["dataset", "system"], sort=False):
        loss, first = mean_interval(group[REAL] - group[SHUFFLED]), group.iloc[0]
        means = group[REAL].mean(), group[SHUFFLED].mean(), loss.mean, loss.half_width, loss.n
        chance = CUTOFF / first["ranked"]
        cold.append((dataset, system, *means, first["users"], chance))
    return pd.DataFrame(cold, columns=COLD)


def by_change(results: Results) -> Results:
    """The same runs, where the change of the data is the arm and the system is the family."""
    regrouped = []
    for row in results.rows:
        original, change = original_and_change(row.dataset)
        arm = Arm(change or REAL, row.arm.system, family=row.arm.label)
        regrouped.append(replace(row, dataset=original, arm=arm))
    return Results(results.study, regrouped)


def tuned_on_original(dataset: str, row: str) -> dict[str, Any]:
    """The options that were chosen on the dataset, or on its original."""
    original, _ = original_and_change(dataset)
    return tuned(original, row)


def _test_means(results: Results) -> pd.DataFrame:
    """Mean test Recall@20: rows (dataset, system), a column per change of the data."""
    found = [
        (row.dataset, row.arm.family, row.arm.label, row.run.test[METRIC])
        for row in by_change(results).rows
        if row.run
    ]
    table = pd.DataFrame(found, columns=["dataset", "system", "change", "recall"])
    return table.pivot_table("recall", ["dataset", "system"], "change", sort=False)


def _by_seed(results: Results, group: str) -> pd.DataFrame:
    """Recall@20 on a group of items, with real and with shuffled features.

    One row per dataset, system and seed that has both; columns `users` and `ranked` as in
    `Measure`.
    """
    found = []
    for row in results.rows:
        original, change = original_and_change(row.dataset)
        if row.run and change in ("", SHUFFLED):
            data = results.study.data[row.dataset]
            measure = item_groups(row.run, data).get(group)
            if measure:
                key = (original, row.arm.label, change or REAL, row.run.seed)
                found.append((*key, *measure.values()))
    table = pd.DataFrame(found, columns=GROUP)
    keys = ["dataset", "system", "seed", "users", "ranked"]
    wide = table.pivot(index=keys, columns="change", values="recall")
    return wide.reindex(columns=[REAL, SHUFFLED]).dropna().reset_index()


def _study(
    name: str,
    data: list[Dataset | Known],
    systems: Iterable[str] | None,
    tabulate: Callable[[Results], pd.DataFrame],
    shared: Mapping[str, Any],
) -> Study:
    arms = tuple(Arm(label, label) for label in systems or feature_systems())
    return Study(name, arms, data, tabulate, base=tuned_on_original, **shared)

"""Measures how the item parts of a trained model relate (SEA Figs. 5 and 6).

The measures use all items; a sample of the items is saved for the t-SNE figure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from seapkg.analysis import similarity
from seapkg.analysis.statistics import detectable_difference, holm, paired_difference
from seapkg.data import Dataset
from seapkg.data.arrays import read_npz
from seapkg.data.catalogue import Known
from seapkg.files import replacing, write_text
from seapkg.runs.archive import PARTS, PARTS_SAMPLE, STATE
from seapkg.runs.run import Run
from seapkg.studies import ablation
from seapkg.studies.base import Arm, Datasets, Results, Study, arms_of, declares

COLUMNS = ["a", "b", "measure", "value"]
N_SAMPLED = 200
SILHOUETTE_ITEMS = 2000  # the cost of a silhouette grows with their square
SEA_ARMS = ("SEA", "w/o Alignment", "w/o Distancing")


@declares("tsne")
def representations(datasets: Datasets, **shared: Any) -> Study:
    """SEA, SEA without each of its losses, and MICRO, which aligns whole representations."""
    changes = {label: ablation.CHANGES[label] for label in SEA_ARMS}
    arms = (*arms_of("sea (released)", changes), Arm("MICRO", "micro"))
    return Study("representations", arms, datasets, measures_table, **shared)


@dataclass(frozen=True)
class PartStudy:
    """The measures of one run's item parts.

    Attributes:
        measures: rows a, b ("modality/part"), measure and value.
        sample: "modality/part" -> [n_sampled, dim], the same random items for every part.
    """

    measures: pd.DataFrame
    sample: dict[str, np.ndarray]


def part_study(run: Run, data: Dataset | Known) -> PartStudy | None:
    """Reads the measures of a run, or measures it and writes the result into its folder.

    Returns None if there are no measures and the model or the data is not here.
    """
    if not (run.folder / PARTS).is_file():
        if isinstance(data, Known) or not (run.folder / STATE).is_file():
            return None
        _measure(run, data)
    points = read_npz(run.folder / PARTS_SAMPLE)
    sample = {name: part.astype(np.float64) for name, part in points.items()}
    return PartStudy(pd.read_csv(run.folder / PARTS), sample)


def part_studies(results: Results) -> dict[tuple[str, str], dict[Run, PartStudy]]:
    """(dataset, label) -> the measures of each run for which `part_study` finds some."""
    studied: dict[tuple[str, str], dict[Run, PartStudy]] = {}
    for row in results.rows:
        by_run = studied.setdefault((row.dataset, row.arm.label), {})
        study = part_study(row.run, results.study.data[row.dataset]) if row.run else None
        if study:
            by_run[row.run] = study
    return studied


def measures_table(results: Results) -> pd.DataFrame:
    """All measures of all runs: one row per run, pair of parts and measure."""
    tables = [pd.DataFrame(columns=[*COLUMNS, "dataset", "model", "seed"])]
    for (dataset, label), by_run in part_studies(results).items():
        for run, study in by_run.items():
            tables.append(study.measures.assign(dataset=dataset, model=label, seed=run.seed))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def comparisons(results: Results) -> pd.DataFrame:
    """SEA minus SEA without each loss, in the measure that the loss is for; tests over seeds.

    Holm's correction covers the whole table.

    Returns:
        The columns dataset, change, difference, "Holm's p, seeds", detectable and seeds.
    """
    table = measures_table(results)
    a, b = (table[side].str.split("/", expand=True).reindex(columns=[0, 1]) for side in ("a", "b"))
    across = (a[1] == "generic") & (b[1] == "generic") & (table["measure"] == "retrieval@10")
    within = (a[0] == b[0]) & (table["measure"] == "HSIC")
    rows = []
    for change, chosen in (("w/o Alignment", across), ("w/o Distancing", within)):
        by_seed = table[chosen].pivot_table("value", ["dataset", "seed"], "model")
        by_seed = by_seed.reindex(columns=["SEA", change]).dropna()
        for dataset, values in by_seed.groupby("dataset"):
            pair = (values[[model]].to_numpy() for model in ("SEA", change))
            found = paired_difference(*pair, over="seeds")
            half_width = (found.high - found.low) / 2
            rows.append((dataset, change, found.mean, found.p, half_width, len(values)))
    columns = ["dataset", "change", "difference", "Holm's p, seeds", "detectable", "seeds"]
    frame = pd.DataFrame(rows, columns=columns)
    p_values = frame["Holm's p, seeds"].dropna()
    frame.loc[p_values.index, "Holm's p, seeds"] = holm(p_values)
    frame["detectable"] = [
        detectable_difference(half_width, n, max(1, len(p_values)))
        for half_width, n in zip(frame["detectable"], frame["seeds"], strict=True)
    ]
    return frame


def measures(parts: dict[str, np.ndarray]) -> pd.DataFrame:
    """Compares the same part of two modalities, and the two parts of one modality.

    The measures are those of `seapkg.analysis.similarity`, and the silhouette of the two parts as
    clusters of unit rows: 0 where they are mixed, 1 where they are apart.

    Args:
        parts: "modality/part" -> [n_items, dim].

    Returns:
        Rows a, b, measure and value.
    """
    rows = [
        (a, b, name, measure(parts[a], parts[b]))
        for a, b in combinations(parts, 2)
        for name, measure in _measures_for(a, b).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def sample(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same random items for every part, each [n_sampled, dim] float16.

    Args:
        parts: "modality/part" -> [n_items, dim].
    """
    n_items = len(next(iter(parts.values())))
    items = _some(n_items, N_SAMPLED)
    return {name: part[items].astype(np.float16) for name, part in parts.items()}


def t_sne(parts: dict[str, np.ndarray], perplexity: float = 30) -> dict[str, np.ndarray]:
    """t-SNE of the unit rows of all parts together.

    Args:
        parts: "modality/part" -> [n, dim].
        perplexity: roughly the number of neighbours of a point; at most a third of the points.

    Returns:
        "modality/part" -> [n, 2].
    """
    from sklearn.manifold import TSNE

    unit = np.concatenate([_unit(part) for part in parts.values()])
    perplexity = min(perplexity, (len(unit) - 1) / 3)
    points = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(unit)
    return dict(zip(parts, np.split(points, len(parts)), strict=True))


def _silhouette(a: np.ndarray, b: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    items = _some(len(a), SILHOUETTE_ITEMS)
    points = np.concatenate([_unit(a[items]), _unit(b[items])])
    return float(silhouette_score(points, np.arange(2).repeat(len(items))))


WITHIN = {
    "linear CKA": similarity.linear_cka,
    "HSIC": similarity.normalised_hsic,
    "silhouette": _silhouette,
}
ACROSS = {
    "matched cosine": lambda a, b: similarity.cosines(a, b)[0],
    "unmatched cosine": lambda a, b: similarity.cosines(a, b)[1],
    "retrieval@10": similarity.retrieval,
    **WITHIN,
}


def _measures_for(a: str, b: str) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """The measures for two parts by name; {} where they are not compared."""
    (modality_a, part_a), (modality_b, part_b) = a.split("/"), b.split("/")
    if part_a == part_b:
        return ACROSS
    within = modality_a == modality_b and {part_a, part_b} == {"generic", "unique"}
    return WITHIN if within else {}


def _some(n: int, most: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _measure(run: Run, data: Dataset) -> None:
    """Writes the measures of a run's parts into its folder, the table last."""
    import torch

    from seapkg.runs.recommend import restore

    with torch.no_grad():
        parts = {name: part.double().numpy() for name, part in restore(run, data).parts().items()}
    with replacing(run.folder / PARTS_SAMPLE) as path, path.open("wb") as stream:
        np.savez_compressed(stream, **sample(parts))
    write_text(run.folder / PARTS, measures(parts).to_csv(index=False, lineterminator="\n"))

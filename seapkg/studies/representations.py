"""How the item parts of a trained model relate (SEA Figs. 5 and 6): measured on all items, a
sample kept for a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from seapkg.analysis import similarity
from seapkg.data import Dataset
from seapkg.data.arrays import read_npz
from seapkg.files import publish, temporary_folder
from seapkg.runs.archive import PARTS, PARTS_SAMPLE, STATE
from seapkg.runs.run import Run
from seapkg.studies import ablation
from seapkg.studies.base import Arm, Datasets, Results, Seeds, Study, arms_of, declares

COLUMNS = ["a", "b", "measure", "value"]
N_SAMPLED = 200
SILHOUETTE_ITEMS = 2000  # the cost of a silhouette grows with their square
CACHE = ".parts"
SEA_ARMS = ("SEA", "w/o Alignment", "w/o Distancing")


@declares("tsne")
def representations(
    datasets: Datasets, seeds: Seeds = (0, 1, 2), max_epochs: int | None = None
) -> Study:
    """SEA, SEA without each of its losses, and MICRO, which aligns whole representations."""
    changes = {label: ablation.CHANGES[label] for label in SEA_ARMS}
    arms = (*arms_of("sea (released)", changes), Arm("MICRO", "micro"))
    return Study("representations", arms, datasets, seeds, measures_table, max_epochs)


@dataclass(frozen=True)
class PartStudy:
    """What was measured of the parts of one run.

    Attributes:
        measures: rows a, b ("modality/part"), measure and value.
        sample: "modality/part" -> [n_sampled, dim], the same random items of every part.
    """

    measures: pd.DataFrame
    sample: dict[str, np.ndarray]


def part_study(run: Run, data: Dataset | None = None) -> PartStudy:
    """Reads what was measured of a run, or measures it now and keeps it beside the run's store.

    Args:
        data: the run's dataset; without it, it is read again.

    Raises:
        RequestError: for a committed summary without measures, which has no model either.
    """
    folder = measured_in(run)
    if folder is None:
        run.require(STATE)
        parts = _parts_of(run, data)
        folder = _keep(_cache_folder(run), measures(parts), sample(parts))
    points = read_npz(folder / PARTS_SAMPLE)
    return PartStudy(
        pd.read_csv(folder / PARTS),
        {name: part.astype(np.float64) for name, part in points.items()},
    )


def part_studies(results: Results) -> dict[tuple[str, str], dict[Run, PartStudy]]:
    """(dataset, label) -> each run that has measures, or a model and data to measure, with what
    was measured.
    """
    studied = {}
    for cell in results.cells:
        data = results.study.data[cell.dataset]
        data = data if isinstance(data, Dataset) else None
        studied[cell.dataset, cell.arm.label] = {
            run: part_study(run, data)
            for run in cell.runs
            if measured_in(run) or (data and (run.folder / STATE).is_file())
        }
    return studied


def measures_table(results: Results) -> pd.DataFrame:
    """All measures of all runs: a row a run, pair of parts and measure."""
    tables = [pd.DataFrame(columns=[*COLUMNS, "dataset", "model", "seed"])]
    for (dataset, label), by_run in part_studies(results).items():
        for run, study in by_run.items():
            tables.append(study.measures.assign(dataset=dataset, model=label, seed=run.seed))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def measured_in(run: Run) -> Path | None:
    """The folder with the measures of a run: its own where it is a committed summary, else
    beside the store.
    """
    for folder in (run.folder, _cache_folder(run)):
        if (folder / PARTS).is_file() and (folder / PARTS_SAMPLE).is_file():
            return folder
    return None


def measures(parts: dict[str, np.ndarray]) -> pd.DataFrame:
    """Compares the same part of two modalities, and the generic and the unique part of one
    modality.

    The measures are those of `seapkg.analysis.similarity`, and the silhouette of the two parts as
    clusters of unit
    rows: 0 where they are mixed, 1 where they are apart.

    Args:
        parts: "modality/part" -> [n_items, dim].

    Returns:
        Rows a, b, measure and value.
    """
    rows = []
    for a, b in combinations(parts, 2):
        (modality_a, kind_a), (modality_b, kind_b) = a.split("/"), b.split("/")
        across = kind_a == kind_b
        within = modality_a == modality_b and {kind_a, kind_b} == {"generic", "unique"}
        values = _across(parts[a], parts[b]) if across else {}
        if across or within:
            values |= _shape(parts[a], parts[b])
        rows += [(a, b, name, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def sample(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same random items of every part, each [n_sampled, dim] float16, for a picture.

    Args:
        parts: "modality/part" -> [n_items, dim].
    """
    items = _some(len(next(iter(parts.values()), ())), N_SAMPLED)
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


def _across(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    matched, unmatched = similarity.cosines(a, b)
    return {
        "matched cosine": matched,
        "unmatched cosine": unmatched,
        "retrieval@10": similarity.retrieval(a, b),
    }


def _shape(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    return {
        "linear CKA": similarity.linear_cka(a, b),
        "HSIC": similarity.normalised_hsic(a, b),
        "silhouette": _silhouette(a, b),
    }


def _silhouette(a: np.ndarray, b: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    items = _some(len(a), SILHOUETTE_ITEMS)
    points = np.concatenate([_unit(a[items]), _unit(b[items])])
    return float(silhouette_score(points, np.arange(2).repeat(len(items))))


def _some(n: int, most: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _parts_of(run: Run, data: Dataset | None) -> dict[str, np.ndarray]:
    import torch

    from seapkg.runs.recommend import restore

    with torch.no_grad():
        return {name: part.double().numpy() for name, part in restore(run, data).parts().items()}


def _cache_folder(run: Run) -> Path:
    created = run.record["created"].replace(":", "")
    return run.folder.parent / CACHE / f"{run.name}-{created}"


def _keep(folder: Path, table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Path:
    folder.parent.mkdir(exist_ok=True)
    with temporary_folder(folder.parent) as aside:
        np.savez_compressed(aside / PARTS_SAMPLE, **arrays)
        table.to_csv(aside / PARTS, index=False, lineterminator="\n")
        publish(aside, folder)
    return folder

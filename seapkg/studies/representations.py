"""How the item parts of a trained model lie to each other: measured on all items, a few kept for a picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from seapkg.analysis import similarity
from seapkg.data import Dataset
from seapkg.files import temporary_folder
from seapkg.runs import archive
from seapkg.runs.recommend import restore
from seapkg.runs.archive import PARTS, PARTS_SAMPLE, STATE
from seapkg.runs.run import Run

COLUMNS = ["a", "b", "measure", "value"]
N_SAMPLED = 200
SILHOUETTE_ITEMS = 2000  # its cost grows with their square


@dataclass(frozen=True)
class PartStudy:
    """measures: rows a, b ("modality/part"), measure, value. sample: "modality/part" -> float [n, dim] of the same
    random items, 200 at most."""

    measures: pd.DataFrame
    sample: dict[str, np.ndarray]


def part_study(run: Run, data: Dataset | None = None) -> PartStudy:
    """The study of a run: read from its folder, or made from its model and kept there.

    `data`: the run's dataset; without it, it is read again. A committed summary without a study has no model to make
    one from, which is a RequestError.
    """
    if not _is_kept(run):
        run.require(STATE)
        with torch.no_grad():
            parts = {
                name: part.double().numpy() for name, part in restore(run, data).parts().items()
            }
        _keep(run.folder, measures(parts), sample(parts))
    table = pd.read_csv(run.folder / PARTS)
    return PartStudy(
        table, {name: part.astype(np.float64) for name, part in run.arrays(PARTS_SAMPLE).items()}
    )


def part_studies(runs: Iterable[Run], data: Dataset | None = None) -> dict[Run, PartStudy]:
    """The studies of those runs that have one, or else model and data to make one from."""
    can_make = {run for run in runs if data is not None and (run.folder / STATE).is_file()}
    return {run: part_study(run, data) for run in runs if _is_kept(run) or run in can_make}


def _is_kept(run: Run) -> bool:
    return all((run.folder / name).is_file() for name in (PARTS, PARTS_SAMPLE))


def measures(parts: dict[str, np.ndarray]) -> pd.DataFrame:
    """Each part beside the same part of another modality, and each generic part beside its modality's unique one.

    `parts`: "modality/part" -> [n_items, dim]. Rows a, b, measure, value; measures are those of `seapkg.analysis.similarity` and
    the silhouette of the two as clusters (unit rows; 0: mixed, 1: apart).
    """
    rows = []
    for a, b in combinations(parts, 2):
        (modality_a, kind_a), (modality_b, kind_b) = a.split("/"), b.split("/")
        if kind_a == kind_b:
            matched, unmatched = similarity.cosines(parts[a], parts[b])
            found = similarity.retrieval(parts[a], parts[b])
            rows += [(a, b, "matched cosine", matched), (a, b, "unmatched cosine", unmatched)]
            rows += [(a, b, "retrieval@10", found)]
        if kind_a == kind_b or (
            modality_a == modality_b and {kind_a, kind_b} == {"generic", "unique"}
        ):
            rows += [
                (a, b, "linear CKA", similarity.linear_cka(parts[a], parts[b])),
                (a, b, "HSIC", similarity.normalised_hsic(parts[a], parts[b])),
                (a, b, "silhouette", _silhouette(parts[a], parts[b])),
            ]
    return pd.DataFrame(rows, columns=COLUMNS)


def sample(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same random items of every part, as float16, for a picture."""
    items = _some(len(next(iter(parts.values()), ())), N_SAMPLED)
    return {name: part[items].astype(np.float16) for name, part in parts.items()}


def t_sne(parts: dict[str, np.ndarray], perplexity: float = 30) -> dict[str, np.ndarray]:
    """t-SNE of all parts together, rows scaled to unit norm first. Returns "modality/part" -> [n, 2].

    `perplexity`: how many neighbours a point has, roughly; of few points it is lowered to a third of them."""
    unit = np.concatenate([_unit(part) for part in parts.values()])
    perplexity = min(perplexity, (len(unit) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(unit)
    return dict(zip(parts, np.split(places, len(parts)), strict=True))


def _silhouette(a: np.ndarray, b: np.ndarray) -> float:
    items = _some(len(a), SILHOUETTE_ITEMS)
    return float(
        silhouette_score(
            np.concatenate([_unit(a[items]), _unit(b[items])]), np.arange(2).repeat(len(items))
        )
    )


def _some(n: int, most: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _keep(folder: Path, table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> None:
    """Both files, each put into place whole; the measures last."""
    with temporary_folder(folder.parent) as aside:
        archive.write_arrays(aside / PARTS_SAMPLE, arrays)
        table.to_csv(aside / PARTS, index=False, lineterminator="\n")
        for name in (PARTS_SAMPLE, PARTS):
            (aside / name).replace(folder / name)

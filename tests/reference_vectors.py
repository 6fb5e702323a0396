"""Reference vectors of published implementations: arrays in tests/golden, or in $SEAPKG_GOLDEN."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.graph import SparseGraph

FOLDER = Path(os.environ.get("SEAPKG_GOLDEN", Path(__file__).parent / "golden"))


def every_file(name: str):
    """A decorator: the test runs on each NAME*.npz of the folder, and fails if there is none."""
    files = sorted(FOLDER.glob(f"{name}*.npz"))
    if not files:
        raise FileNotFoundError(f"no {name}*.npz in {FOLDER}")
    return pytest.mark.parametrize("file", files, ids=lambda file: file.stem)


def arrays_of(file: Path) -> dict[str, Tensor]:
    """Name -> array, as float64 or int64 tensors."""
    with np.load(file, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def described(file: Path) -> dict:
    """The json beside the arrays: hyper-parameters, tolerances, how the loss terms add up."""
    return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))


def dataset_of(train, n_users: int, n_items: int, features: dict[str, Tensor]) -> Dataset:
    """A dataset with these training pairs [n, 2] and features; nothing is held out."""
    nothing = np.empty((0, 2), dtype=np.int64)
    return Dataset.from_arrays(
        np.asarray(train),
        nothing,
        nothing,
        n_users=n_users,
        n_items=n_items,
        features={name: np.asarray(table) for name, table in features.items()},
    )


def batch_of(golden: dict[str, Tensor], name: str = "batch") -> list[Tensor]:
    """Users, positives and negatives."""
    return [golden[f"{name}/{part}"] for part in ("users", "positives", "negatives")]


def sparse(matrix: Tensor) -> SparseGraph:
    """A dense matrix as a graph, in its precision."""
    rows, columns = indices = matrix.nonzero().T
    return SparseGraph(indices, matrix[rows, columns], matrix.shape)


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float = 1e-9) -> None:
    """To `tolerance` of the largest entry."""
    assert ours.shape == theirs.shape
    error = (ours.detach() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-300)
    assert error < tolerance, f"relative error {error:.2e}"

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
from seapkg.models.features import FeatureTables

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


def features_of(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    """Modality -> raw features [n_items, width], float64."""
    names = [name for name in golden if name.startswith("data/")]
    return {
        name.removeprefix("data/").removesuffix("_features"): golden[name]
        for name in names
        if golden[name].is_floating_point()
    }


def dataset_of(golden: dict[str, Tensor], users: str = "param/user_embedding") -> Dataset:
    """The splits and features of the file; `users` names an array with a row for each user."""
    features = {name: table.numpy() for name, table in features_of(golden).items()}
    return Dataset.from_arrays(
        *(golden[f"data/{split}"].numpy() for split in ("train", "valid", "test")),
        n_users=len(golden[users]),
        n_items=len(next(iter(features.values()))),
        features=features,
    )


def set_features(tables: FeatureTables, golden: dict[str, Tensor]) -> None:
    """Sets fixed features in float64; those of a dataset are float32."""
    for name, table in features_of(golden).items():
        setattr(tables, name, table)


def batch_of(golden: dict[str, Tensor], name: str = "batch") -> list[Tensor]:
    """Users, positives and negatives."""
    return [golden[f"{name}/{part}"] for part in ("users", "positives", "negatives")]


def backward(model, batch: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """One backward pass. Returns the loss terms and their sum."""
    model.zero_grad()
    terms = model.losses(*batch)
    total = sum(terms.values())
    total.backward()
    return terms, total.detach()


def sparse(matrix: Tensor) -> SparseGraph:
    """A dense matrix as a graph, in its precision."""
    rows, columns = indices = matrix.nonzero().T
    return SparseGraph(indices, matrix[rows, columns], matrix.shape)


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float = 1e-9) -> None:
    """To `tolerance` of the largest entry."""
    assert ours.shape == theirs.shape
    error = (ours.detach() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-300)
    assert error < tolerance, f"relative error {error:.2e}"

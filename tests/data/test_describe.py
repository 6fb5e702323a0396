"""The description of a dataset, against numbers counted by hand."""

import builders as b
import numpy as np
import pytest

from seapkg.data import Dataset, ItemGraph, describe
from seapkg.data.describe import gini


def shop(**optional) -> Dataset:
    """Three users; items 0 to 4, of which 4 is never trained on but tested twice."""
    test = [(0, 4), (1, 4), (2, 1)]
    return Dataset.from_arrays(b.TRAIN, b.VALID, test, name="shop", source="there", **optional)


def about(data: Dataset, section: str) -> dict[str, object]:
    table = describe(data)
    assert list(table.columns) == ["about", "quantity", "value"]
    rows = table[table["about"] == section]
    return dict(zip(rows["quantity"], rows["value"], strict=True))


def test_origin_and_fingerprint_are_shown():
    data = shop(provenance="drawn", features={"text": np.ones((5, 2)), "image": np.ones((5, 2))})
    assert about(data, "dataset") == {
        "name": "shop", "source": "there", "provenance": "drawn", "fingerprint": data.fingerprint,
        "modalities": "image, text", "item names": "no",
    }  # fmt: skip


def test_unknown_provenance_and_missing_features_are_said():
    origin = about(shop(item_names="abcde"), "dataset")
    assert (origin["provenance"], origin["modalities"], origin["item names"]) == (
        "unknown",
        "none",
        "yes",
    )


def test_sizes_sparsity_and_cold_items_are_counted():
    assert about(shop(), "interactions") == {
        "users": 3, "items": 5, "train pairs": 6, "valid pairs": 3, "test pairs": 3, "sparsity": 1 - 12 / 15,
        "items never in training": 1, "test pairs on those items": 2,
    }  # fmt: skip


def test_degrees_are_of_training_alone():
    items = about(shop(), "item degree in training")  # 1, 2, 2, 1, 0
    assert (items["smallest"], items["median"], items["mean"], items["largest"]) == (0, 1.0, 1.2, 2)
    assert items["share of top 10 %"] == pytest.approx(2 / 6)
    users = about(shop(), "user degree in training")
    assert (users["smallest"], users["largest"], users["Gini coefficient"]) == (
        2,
        2,
        pytest.approx(0),
    )


def test_gini_is_half_the_mean_difference_over_the_mean():
    counts = np.array([1, 5, 2, 0, 9, 9])
    brute_force = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(brute_force)


def test_features_are_described_by_width_range_and_norms():
    x = np.array([[3, 4], [0, 0], [3, 4], [-6, 8], [0, 1]], dtype=np.float16)
    seen = about(shop(features={"image": x}), "image features")
    assert (seen["width"], seen["dtype"], seen["smallest"], seen["largest"]) == (
        2,
        "float32",
        -6,
        8,
    )
    assert (seen["mean row norm"], seen["smallest row norm"], seen["largest row norm"]) == (
        pytest.approx(4.2),
        0,
        10,
    )
    assert (seen["rows of zeros"], seen["rows equal to another"]) == (1, 1)
    assert seen["mean"] == pytest.approx(1.7)


def test_given_graphs_are_described():
    graph = ItemGraph(np.array([[0, 0, 1, 2], [0, 1, 1, 4]]), np.array([1, 0.25, 1, 0.5]))
    assert about(shop(item_graphs={"image": graph}), "image graph") == {
        "edges": 4, "fewest neighbours": 0, "most neighbours": 2, "items without their own edge": 3,
        "smallest cosine": 0.25, "largest cosine": 1.0,
    }  # fmt: skip


def test_only_what_is_there_is_described():
    assert set(describe(shop())["about"]) == {
        "dataset", "interactions", "user degree in training", "item degree in training"
    }  # fmt: skip

"""The description of a dataset and what is warned of, against numbers counted by hand."""

import sys

import builders as b
import numpy as np
import pytest

from seapkg.__main__ import main
from seapkg.data import Dataset, ItemGraph, describe
from seapkg.data.describe import feature_similarity, warnings_about


def shop(**optional) -> Dataset:
    """Three users; items 0 to 4, of which 4 is never trained on but tested twice."""
    test = [(0, 4), (1, 4), (2, 1)]
    return Dataset.from_arrays(b.TRAIN, b.VALID, test, name="shop", source="there", **optional)


def about(data: Dataset, section: str) -> dict[str, object]:
    table = describe(data)
    assert list(table.columns) == ["about", "quantity", "value"]
    rows = table[table["about"] == section]
    return dict(zip(rows["quantity"], rows["value"], strict=True))


def test_origin_sizes_sparsity_and_cold_items_are_shown():
    data = shop(provenance="drawn")
    assert about(data, "dataset") == {
        "name": "shop",
        "provenance": "drawn",
        "fingerprint": data.fingerprint,
        "users": 3,
        "items": 5,
        "interactions": 12,
        "train pairs": 6,
        "valid pairs": 3,
        "test pairs": 3,
        "sparsity": "20.00%",
        "users never in training": 0,
        "items never in training": 1,
    }


def test_unknown_provenance_is_named():
    assert about(shop(), "dataset")["provenance"] == "unknown"


def test_degrees_are_of_training_alone():
    items = about(shop(), "item degree in training")  # 1, 2, 2, 1, 0
    assert items == {"smallest": 0, "median": 1, "mean": 1.2, "largest": 2}
    assert about(shop(), "user degree in training")["smallest"] == 2


def test_features_are_described_by_width_and_norms():
    x = np.array([[3, 4], [0, 0], [3, 4], [-6, 8], [0, 1]], dtype=np.float16)
    seen = about(shop(features={"image": x}), "image features, norm of a row")
    expected = {"width": 2, "smallest": 0, "median": 5, "mean": 4.2, "largest": 10}
    assert seen == pytest.approx(expected)


def test_given_graphs_are_described():
    graph = ItemGraph(np.array([[0, 0, 1, 2], [0, 1, 1, 4]]), np.array([1, 0.25, 1, 0.5]))
    data = shop(item_graphs={"image": graph})
    neighbours, cosine = (about(data, f"image graph, {what}") for what in ("neighbours", "cosine"))
    assert neighbours == {"smallest": 0, "median": 1, "mean": 0.8, "largest": 2}
    assert cosine == {"smallest": 0.25, "median": 0.75, "mean": 0.6875, "largest": 1}


def test_only_the_parts_of_a_dataset_are_described():
    assert set(describe(shop())["about"]) == {
        "dataset",
        "user degree in training",
        "item degree in training",
    }


RNG = np.random.default_rng(0)
GOOD = RNG.standard_normal((200, 8))


def crowd(features=GOOD, train=None, n_items=200) -> Dataset:
    """Ten users of groups of twenty items each; every item is trained on."""
    train = [(item // 20, item) for item in range(n_items)] if train is None else train
    held_out = [(0, 30)], [(0, 31)]
    return Dataset.from_arrays(
        train, *held_out, name="crowd", features={"image": features}, n_items=n_items
    )


def cosine(x, i, j):
    norms = np.linalg.norm(x[i]) * np.linalg.norm(x[j])
    return x[i] @ x[j] / norms if norms else 0.0


def test_similarity_is_the_mean_over_all_pairs_of_items_and_0_for_a_row_of_zeros():
    """Users of different sizes; a user counts by training pairs, an item by its popularity."""
    x = GOOD + np.repeat(2 * RNG.standard_normal((10, 8)), 20, axis=0)
    x[3] = 0
    train = [(user, (20 * user + step) % 200) for user in range(10) for step in range(3 * user + 1)]
    data = crowd(x, train)
    items = [data.train[data.train[:, 0] == user, 1] for user in range(10)]
    together = [
        np.mean([cosine(x, i, j) for j in group if j != i])
        for group in items
        for i in group
        if len(group) > 1
    ]
    every = data.train[:, 1]
    apart = [cosine(x, i, j) for i in every for j in every if i != j]
    (row,) = feature_similarity(data).to_dict("records")
    assert row["modality"] == "image" and row["difference"] == row["co-interacted"] - row["random"]
    assert row["co-interacted"] == pytest.approx(np.mean(together), rel=1e-6)
    assert row["random"] == pytest.approx(np.mean(apart), rel=1e-6)


def test_features_wider_than_a_block_are_summed_over_all_columns(monkeypatch):
    whole = feature_similarity(crowd())
    monkeypatch.setattr(sys.modules["seapkg.data.describe"], "BLOCK", 3)
    np.testing.assert_allclose(
        feature_similarity(crowd()).iloc[0, 1:], whole.iloc[0, 1:].astype(float)
    )


def test_no_item_is_compared_with_itself():
    train = [(0, 0), (0, 1), (1, 2), (1, 3), (2, 0)]
    data = Dataset.from_arrays(train, [(0, 2)], [(0, 3)], features={"image": np.eye(4)})
    (row,) = feature_similarity(data).to_dict("records")
    assert (row["co-interacted"], row["random"]) == (0, 0)


def test_features_that_say_nothing_are_no_more_alike():
    assert abs(feature_similarity(crowd()).loc[0, "difference"]) < 0.05


def test_there_is_no_similarity_where_nobody_has_two_items():
    data = Dataset.from_arrays([(0, 0), (1, 1)], [(0, 1)], [(1, 0)], features={"image": np.eye(2)})
    assert len(feature_similarity(data)) == 0


def test_sound_data_are_not_warned_about():
    assert warnings_about(crowd()) == []


def spoiled(rows=(), columns=(), same=(), factor=1.0):
    x = GOOD.copy()
    x[list(rows)] = 3.0
    x[:, list(columns)] = -1.0
    x[list(same)] = x[199]
    x[7] *= factor
    return x


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (spoiled(rows=[5]), "image features: 1 of 200 rows are constant"),
        (spoiled(columns=[2, 3]), "image features: 2 of 8 columns are constant"),
        (spoiled(same=[1, 2, 3]), "image features: 3 of 200 rows equal another"),
        (spoiled(factor=1e4), "image features: the norm of row 7 is"),
    ],
)
def test_each_fault_of_features_is_named_alone(features, complaint):
    (warning,) = warnings_about(crowd(features))
    assert warning.startswith(complaint)


def test_a_few_duplicates_and_a_large_norm_are_let_pass():
    assert warnings_about(crowd(spoiled(same=[1, 2], factor=20))) == []


@pytest.mark.parametrize(("idle", "n_warnings"), [(2, 0), (3, 1)])
def test_more_than_one_item_in_a_hundred_without_training_pairs_is_named(idle, n_warnings):
    train = [(item // 20, item) for item in range(200 - idle)]
    warnings = warnings_about(crowd(train=train))
    assert len(warnings) == n_warnings and all(
        "3 of 200 items have no training pair" in each for each in warnings
    )


def test_the_command_prints_sizes_similarity_and_warnings(tmp_path, capsys):
    data = crowd(spoiled(columns=[2]))
    for split in ("train", "valid", "test"):
        np.save(tmp_path / f"{split}.npy", getattr(data, split).T)
    np.save(tmp_path / "image_feat.npy", data.features["image"])
    assert main(["data", "check", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "dataset sparsity 89.90%" in lines and err == ""
    assert any(line.startswith("modality co-interacted") for line in lines)
    assert lines[-1] == "warning: image features: 1 of 8 columns are constant; leave them out"


def test_files_that_look_like_data_and_are_not_read_are_named(tmp_path, capsys):
    data = crowd()
    for split in ("train", "valid", "test"):
        np.save(tmp_path / f"{split}.npy", getattr(data, split).T)
    np.save(tmp_path / "image_feat.npy", data.features["image"])
    np.save(tmp_path / "text_features.npy", data.features["image"])
    (tmp_path / "notes.txt").write_text("no data")
    assert main(["data", "check", str(tmp_path)]) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert warned == [
        "warning: text_features.npy is not read: features are files named MODALITY_feat.npy"
    ]


def test_data_that_came_from_no_folder_leave_nothing_unread():
    assert warnings_about(crowd()) == []


def test_the_command_describes_users_and_items_that_never_train(tmp_path, capsys):
    b.write_splits(tmp_path, test=[(0, 5), (4, 3)])
    assert main(["data", "check", str(tmp_path)]) == 0
    out, _ = capsys.readouterr()
    counts = [" ".join(line.split()) for line in out.splitlines()]
    assert "dataset users never in training 2" in counts
    assert "dataset items never in training 2" in counts
    assert "warning: 2 of 5 users have no training pair" in out
    assert "warning: 2 of 6 items have no training pair" in out

"""A Dataset built from arrays: checked like a file, read-only, and known by its content."""

import copy
import dataclasses
import pickle

import builders as b
import numpy as np
import pytest

from seapkg.data.dataset import Dataset, ItemGraph, content_hash
from seapkg.errors import DataError


def dataset(**changed) -> Dataset:
    fields = {"train": b.TRAIN, "valid": b.VALID, "test": b.TEST} | changed
    return Dataset.from_arrays(
        fields.pop("train"), fields.pop("valid"), fields.pop("test"), **fields
    )


def full(**changed) -> Dataset:
    """A dataset with everything in it."""
    optional = {
        "features": {"image": b.features(3), "text": b.features(2)},
        "item_graphs": {"image": ItemGraph(*b.graph_arrays())},
        "item_names": list("abcd"),
        "factors": {"generic": np.ones((4, 2))},
    }
    return dataset(**(optional | changed))


def arrays_of(data: Dataset) -> dict[str, np.ndarray]:
    graphs = {
        f"{name} {part}": getattr(g, part)
        for name, g in data.item_graphs.items()
        for part in ("index", "cosine")
    }
    splits = {name: getattr(data, name) for name in ("train", "valid", "test", "train_items")}
    return (
        splits | dict(data.features) | {f"factor {k}": v for k, v in data.factors.items()} | graphs
    )


def test_sizes_are_the_largest_id_of_all_splits_plus_one():
    assert (dataset().n_users, dataset().n_items) == (3, 4)
    assert dataset(test=[(0, 3), (1, 0), (2, 6)]).n_items == 7


def test_sizes_may_be_given_to_hold_items_nobody_met():
    assert dataset(n_items=9).n_items == 9


def test_the_constructor_takes_the_fields_in_order():
    data = Dataset("shop", 3, 4, b.TRAIN, b.VALID, b.TEST, {"image": b.features(3)})
    assert (data.name, data.n_users, data.n_items, data.modalities) == ("shop", 3, 4, ("image",))
    assert data.fingerprint == dataset(features={"image": b.features(3)}).fingerprint


FAULTS = {
    "negative": ({"valid": [(0, 2), (-1, 3)]}, ["valid, row 1", "user id -1 is not between"]),
    "float": ({"train": np.array(b.TRAIN, float)}, ["train", "float64", "astype"]),
    "transposed": ({"test": np.array(b.TEST).T[:, :1]}, ["test", "(2, 1)", "(n, 2)"]),
    "objects": ({"train": np.array([(0, None)])}, ["train", "stored as object"]),
    "empty": ({"valid": []}, ["valid", "there are no pairs"]),
    "twice": ({"test": [(0, 3), (2, 3)]}, ["test, row 1", "[2, 3] occurs twice", "train, row 5"]),
    "item out of range": ({"n_items": 3}, ["n_items", "3 is less than the largest id + 1, 4"]),
    "user out of range": ({"n_users": 2}, ["n_users", "2 is less than", "Omit it"]),
    "no size": ({"n_items": 0}, ["n_items", "0 is less than"]),
    "feature rows": (
        {"features": {"image": np.ones((3, 2))}},
        ["features['image']", "(3, 2), not (4, width)"],
    ),
    "feature NaN": (
        {"features": {"image": np.full((4, 2), np.nan)}},
        ["features['image'], row 0", "nan"],
    ),
    "modality": ({"features": {"": np.ones((4, 2))}}, ["''", "not a name for a modality"]),
    "graph": (
        {"item_graphs": {"image": ItemGraph([[0], [4]], [1.0])}},
        ["item_graphs['image'], row 0", "id 4"],
    ),
    "names": ({"item_names": ["a"]}, ["item_names", "1 names for 4 items", "one name per item"]),
}


@pytest.mark.parametrize("changed, words", FAULTS.values(), ids=FAULTS)
def test_arrays_are_checked_like_files(changed, words):
    with pytest.raises(DataError) as caught:
        dataset(**changed)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_a_modality_may_have_digits_and_dashes():
    assert dataset(features={"audio-2_b": np.ones((4, 2))}).modalities == ("audio-2_b",)


@pytest.mark.parametrize("name", arrays_of(full()))
def test_every_array_is_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        arrays_of(full())[name][...] = 0


def test_fields_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        full().n_users = 5


def test_later_changes_of_the_callers_arrays_do_not_reach_the_dataset():
    train, x = np.array(b.TRAIN), b.features(3)
    given = {"image": x}
    data = dataset(train=train, features=given)
    train[:], x[:] = 0, 0
    given["text"] = x
    assert data.train.tolist() == [list(pair) for pair in b.TRAIN]
    assert data.features["image"].any() and data.modalities == ("image",)


def test_a_read_only_view_of_a_writable_array_is_copied():
    x = b.features(3)
    view = x[:]
    view.flags.writeable = False
    data = dataset(features={"image": view})
    x[:] = 0
    assert data.features["image"].any()


def test_the_callers_arrays_stay_writable():
    train, x = np.array(b.TRAIN), b.features(3)
    dataset(train=train, features={"image": x})
    assert train.flags.writeable and x.flags.writeable


OTHERS = {
    "train": {"train": [*b.TRAIN[:-1], (2, 1)], "test": [(0, 3), (1, 0)]},
    "valid": {"valid": b.VALID[:-1]},
    "test": {"test": b.TEST[:-1]},
    "order of pairs": {"train": b.TRAIN[::-1]},
    "n_items": {"n_items": 5, "features": {}, "item_graphs": {}, "item_names": None},
    "features": {"features": {"image": b.features(3, seed=1), "text": b.features(2)}},
    "modality": {"features": {"image": b.features(3), "audio": b.features(2)}},
    "graph edges": {
        "item_graphs": {"image": ItemGraph(b.graph_arrays()[0][::-1], b.graph_arrays()[1])}
    },
    "graph values": {
        "item_graphs": {"image": ItemGraph(b.graph_arrays()[0], b.graph_arrays()[1] / 2)}
    },
    "graph modality": {"item_graphs": {"text": ItemGraph(*b.graph_arrays())}},
    "no graph": {"item_graphs": {}},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_other_content_has_another_fingerprint(changed):
    assert full(**changed).fingerprint != full().fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "x"},
        {"source": "x"},
        {"provenance": "x"},
        {"item_names": None},
        {"factors": {}},
        {"features": {"text": b.features(2), "image": b.features(3)}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_no_model_sees_does_not_change_the_fingerprint(changed):
    assert full(**changed).fingerprint == full().fingerprint


def test_an_item_nobody_met_changes_the_fingerprint():
    assert dataset(n_items=5).fingerprint != dataset().fingerprint


def test_a_pair_cannot_move_between_splits_unnoticed_by_the_fingerprint():
    one = dataset(train=b.TRAIN, valid=[(0, 2)], test=[(1, 3), (2, 0)])
    other = dataset(train=b.TRAIN, valid=[(0, 2), (1, 3)], test=[(2, 0)])
    assert one.fingerprint != other.fingerprint


def test_content_hash_sees_shape_and_type_but_not_byte_or_memory_order():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert content_hash(x) == content_hash(x.astype(">f4")) == content_hash(np.asfortranarray(x))
    assert (
        len(
            {
                content_hash(y)
                for y in (x, x.T, x.reshape(3, 2), x.astype(np.float64), x + 1, x[:0], x[:, :0])
            }
        )
        == 7
    )


def test_content_hash_is_the_sha256_that_is_documented():
    import hashlib

    expected = hashlib.sha256(b"<i4(2,);" + b"\x01\0\0\0\x02\0\0\0").hexdigest()
    assert content_hash(np.array([1, 2], np.int32)) == expected


def test_a_user_without_a_training_pair_keeps_its_id_and_is_named_in_a_warning(caplog):
    data = dataset(test=[(4, 3)])
    assert data.n_users == 5 and data.train_users.tolist() == [0, 1, 2]
    warning = "2 of 5 users have no training pair; they are left out of evaluation"
    assert data.warnings == (warning,) and caplog.messages == [f"arrays: {warning}"]


def test_an_item_without_a_training_pair_keeps_its_id_and_is_named_in_a_warning(caplog):
    data = dataset(test=[(0, 5)])
    assert data.n_items == 6 and data.train_items.tolist() == [0, 1, 2, 3]
    assert "2 of 6 items have no training pair" in caplog.text


def test_up_to_one_item_in_a_hundred_without_a_training_pair_is_usual(caplog):
    train = [(0, item) for item in range(100) if item not in (7, 8)]
    assert dataset(train=train, valid=[(0, 7)], test=[(0, 8)]).warnings != ()
    assert dataset(train=[*train, (0, 7)], valid=[(1, 1)], test=[(0, 8), (1, 0)]).n_items == 100
    assert "1 of 100 items" not in caplog.text


def test_a_dataset_in_which_all_train_has_no_warning(caplog):
    assert full().warnings == () and caplog.messages == []


def test_train_items_are_the_sorted_items_of_training_alone():
    data = dataset(train=[(0, 4), (1, 1), (2, 4)], valid=[(0, 2)], test=[(1, 3)])
    assert data.train_items.tolist() == [1, 4]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_and_worker_processes_get_the_same_dataset(copied):
    twin = copied(full(name="shop", source="here"))
    assert twin.fingerprint == full().fingerprint
    assert (twin.name, twin.source, twin.item_names) == ("shop", "here", tuple("abcd"))


def test_replacing_a_field_checks_again_and_gives_another_fingerprint():
    data = dataclasses.replace(full(), features={"image": b.features(3)}, item_graphs={})
    assert data.modalities == ("image",) and data.fingerprint != full().fingerprint
    with pytest.raises(DataError):
        dataclasses.replace(full(), n_items=2)


def test_a_label_changes_nothing_else():
    plain = full()
    data = plain.labelled("drawn")
    assert (plain.provenance, data.provenance) == ("", "drawn")
    assert data.fingerprint == plain.fingerprint and data.train is plain.train


def test_a_dataset_with_features_needs_none():
    assert full().require_features("sea") is None


def test_the_text_of_a_dataset_is_one_short_line():
    assert (
        repr(full(name="shop"))
        == "Dataset(shop: 3 users, 4 items, 6 / 3 / 3 pairs, image 3-d, text 2-d)"
    )
    assert (
        repr(dataset(name="shop"))
        == "Dataset(shop: 3 users, 4 items, 6 / 3 / 3 pairs, no features)"
    )


@pytest.mark.parametrize(
    ("pairs", "message"),
    [([(0, 0), (1,)], "rows have different lengths"), (5, "the pairs have shape")],
)
def test_what_is_no_list_of_pairs_is_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_arrays(pairs, [(0, 1)], [(0, 2)])

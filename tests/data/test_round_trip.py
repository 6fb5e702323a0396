"""Each reader gives back any small dataset that is written; a broken one is a DataError."""

import tempfile
from pathlib import Path

import builders as b
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seapkg.data.dataset import Dataset
from seapkg.data.read import read_folder
from seapkg.errors import DataError

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def right_pairs(draw) -> dict[str, list[tuple[int, int]]]:
    """Three splits without a pair twice, in which every user trains."""
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(3, 9))
    others = draw(
        st.lists(
            st.tuples(st.integers(0, n_users - 1), st.integers(1, n_items - 1)),
            min_size=2,
            unique=True,
        )
    )
    cut = draw(st.integers(1, len(others) - 1))
    end = draw(st.integers(cut + 1, len(others)))
    train = draw(st.permutations([(user, 0) for user in range(n_users)] + others[end:]))
    return {"train": train, "valid": others[:cut], "test": others[cut:end]}


@st.composite
def right_data(draw) -> tuple[dict, dict]:
    pairs = draw(right_pairs())
    n_items = 1 + max(item for split in pairs.values() for _, item in split)
    names = draw(
        st.lists(st.sampled_from(["image", "text", "audio", "x-1"]), unique=True, max_size=3)
    )
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shapes = {name: (n_items, draw(st.integers(1, 4))) for name in names}
    values = st.floats(-60000, 60000, width=16)
    return pairs, {
        name: draw(arrays(dtype, shape, elements=values)) for name, shape in shapes.items()
    }


@QUICK
@given(
    right_data(), st.randoms(use_true_random=False), st.booleans(), st.sampled_from(["\n", "\r\n"])
)
def test_both_readers_give_back_what_was_written(data, random, bom, newline):
    pairs, features = data
    expected = Dataset.from_arrays(**pairs, features=features)
    for write in (
        b.write_splits,
        lambda folder, **p: b.write_inter(folder, b.inter_rows(**p), bom=bom, newline=newline),
    ):
        with tempfile.TemporaryDirectory() as folder:
            b.write_features(write(Path(folder), **pairs), **features)
            read = read_folder(folder)
        assert read.fingerprint == expected.fingerprint
        assert (read.n_users, read.n_items, read.modalities) == (
            expected.n_users,
            expected.n_items,
            expected.modalities,
        )
        for name, x in features.items():
            np.testing.assert_array_equal(read.features[name], x.astype(np.float32))


@QUICK
@given(right_pairs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_between_splits_does_not_matter(pairs, random):
    """Rows of one split keep their order among each other, as in a file sorted by user."""
    queues = [
        [row for row in b.inter_rows(**pairs) if row.endswith(f"\t{label}")] for label in range(3)
    ]
    mixed = []
    while any(queues):
        mixed.append(random.choice([queue for queue in queues if queue]).pop(0))
    with tempfile.TemporaryDirectory() as folder:
        read = read_folder(b.write_inter(Path(folder), mixed))
    assert read.fingerprint == Dataset.from_arrays(**pairs).fingerprint


def damaged(content: bytes, at: int, new: bytes, cut: bool) -> bytes:
    at %= len(content) + 1
    return content[:at] + new + (b"" if cut else content[at + len(new) :])


def survives(folder: str) -> None:
    """Reading gives a dataset or a DataError, and nothing else."""
    try:
        read_folder(folder)
    except DataError as error:
        assert "\n" not in str(error)


@QUICK
@given(st.integers(0, 400), st.binary(max_size=6), st.booleans())
def test_a_damaged_table_is_read_or_refused_but_never_crashes(at, new, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = b.write_inter(Path(folder)) / "shop.inter"
        path.write_bytes(damaged(path.read_bytes(), at, new, cut))
        survives(folder)


@QUICK
@given(
    st.sampled_from(["train.npy", "image_feat.npy", "item_knn.npz", "items.tsv"]),
    st.integers(0, 900),
    st.binary(max_size=6),
    st.booleans(),
)
def test_a_damaged_file_is_read_or_refused_but_never_crashes(name, at, new, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        b.write_graph(b.write_features(b.write_splits(path), image=b.features(3)))
        (path / "items.tsv").write_text("itemID\tname\n0\ta\n1\tb\n2\tc\n3\td\n")
        (path / name).write_bytes(damaged((path / name).read_bytes(), at, new, cut))
        survives(folder)

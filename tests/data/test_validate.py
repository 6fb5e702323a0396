"""Every fault in a folder becomes one `DataError` that names the file, the row and the remedy."""

import io
import pickle
import zipfile

import builders as b
import numpy as np
import pytest
from numpy.lib import format as npy

from seapkg.data.read import read_folder
from seapkg.errors import DataError

BIG = 10**12


def changed_row(row: str, at: int = 1):
    """A table whose row `at` (from 0, so line at + 2) is another."""
    rows = b.inter_rows()
    rows[at] = row
    return lambda folder: b.write_inter(folder, rows)


def table(*rows: str, **how):
    return lambda folder: b.write_inter(folder, rows or None, **how)


def splits(**changed):
    return lambda folder: b.write_splits(folder, **changed)


def features(**by_modality):
    return lambda folder: b.write_features(b.write_splits(folder), **by_modality)


def graph(**changed):
    return lambda folder: b.write_graph(features(image=b.features(3))(folder), **changed)


def items(text: str):
    def write(folder):
        (b.write_splits(folder) / "items.tsv").write_text(text)

    return write


def file(name: str, content: bytes):
    """A right folder in which one file holds other bytes."""

    def write(folder):
        features(image=b.features(3))(folder)
        (folder / name).write_bytes(content)

    return write


def without(name: str):
    def write(folder):
        (b.write_splits(folder) / name).unlink()

    return write


def both(folder):
    b.write_inter(b.write_splits(folder))


def two_tables(folder):
    b.write_inter(b.write_inter(folder), name="other.inter")


def npy_header(shape, descr="<i8", rest=b"") -> bytes:
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + rest


def saved(array, **how) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **how)
    return stream.getvalue()


def spoiled(value, shape=(b.N_ITEMS, 3), at=(2, 1), dtype=np.float32) -> np.ndarray:
    x = np.ones(shape, dtype)
    x[at] = value
    return x


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


INDEX, COSINE = b.graph_arrays()
OBJECTS = np.array([{"a": 1}, None, 2], dtype=object)
TABLE = {
    "text id": (
        changed_row("anna\t1\t5\t0"),
        ["shop.inter, line 3", "userID 'anna'", "not an integer", "from 0"],
    ),
    "text item": (
        changed_row("0\tB00\t5\t0"),
        ["shop.inter, line 3", "itemID 'B00'", "not an integer"],
    ),
    "fractional id": (changed_row("0.5\t1\t5\t0"), ["line 3", "userID '0.5'", "not an integer"]),
    "integer written as a fraction": (
        changed_row("0\t1.0\t5\t0"),
        ["line 3", "itemID '1.0'", "not an integer"],
    ),
    "scientific id": (changed_row("1e0\t1\t5\t0"), ["line 3", "'1e0' is not an integer"]),
    "truth value as id": (changed_row("True\t1\t5\t0"), ["line 3", "'True' is not an integer"]),
    "digits of another script": (changed_row("٣\t1\t5\t0"), ["line 3", "'٣'"]),
    "NaN id": (changed_row("nan\t1\t5\t0"), ["line 3", "userID 'nan' is not an integer"]),
    "no id": (changed_row("\t1\t5\t0"), ["line 3", "userID '' is not an integer", "Number users"]),
    "no ids and no label": (changed_row("\t\t5\t"), ["line 3", "userID '' is not an integer"]),
    "quoted id": (changed_row('"0"\t1\t5\t0'), ["line 3", "not an integer"]),
    "negative user": (
        changed_row("-1\t1\t5\t0"),
        ["shop.inter, line 3", "user id -1 is not between 0 and 1200", "from 0"],
    ),
    "negative item": (
        changed_row("0\t-7\t5\t0"),
        ["shop.inter, line 3", "item id -7 is not between", "from 0"],
    ),
    "absurd user": (
        changed_row(f"{BIG}\t1\t5\t0"),
        ["line 3", f"user id {BIG}", "not product codes", "without gaps"],
    ),
    "absurd item": (
        changed_row("0\t1201\t5\t0"),
        ["line 3", "item id 1201", "and 1200", "Number users and items from 0"],
    ),
    "more digits than any id": (
        changed_row("9" * 30 + "\t1\t5\t0"),
        ["line 3", "not an integer"],
    ),
    "more digits than Python reads": (
        changed_row("9" * 5000 + "\t1\t5\t0"),
        ["line 3", "not an integer"],
    ),
    "label out of range": (
        changed_row("0\t1\t5\t3"),
        ["line 3", "x_label 3 is wrong", "0 for train, 1 valid, 2 test"],
    ),
    "negative label": (changed_row("0\t1\t5\t-1"), ["line 3", "x_label -1", "0 for train"]),
    "label in words": (
        changed_row("0\t1\t5\ttrain"),
        ["line 3", "x_label 'train'", "not an integer"],
    ),
    "pair twice in train": (
        changed_row("0\t0\t5\t0"),
        ["line 3", "pair [0, 0] occurs twice", "first at", "line 2", "once"],
    ),
    "pair in train and test": (
        changed_row("0\t0\t5\t2", 9),
        ["line 11", "occurs twice", "line 2", "one split only"],
    ),
    "row too short": (
        changed_row("0\t1\t0"),
        ["shop.inter, line 3", "x_label '' is not an integer"],
    ),
    "row too long": (
        changed_row("0\t1\t5\t0\t9"),
        ["shop.inter", "4 fields in line 3, saw 5", "tabs"],
    ),
    "header too short": (
        table(header="userID\titemID\tx_label"),
        ["3 fields in line 2, saw 4"],
    ),
    "no label column": (
        table(header="userID\titemID\trating\tlabel"),
        ["column x_label is missing", "rating"],
    ),
    "no user column": (
        table(header="user_id\titemID\trating\tx_label"),
        ["column userID is missing", "user_id"],
    ),
    "column twice": (
        table(header="userID\titemID\titemID\tx_label"),
        ["column itemID occurs twice", "another name"],
    ),
    "commas": (
        table("0,0,0", header="userID,itemID,x_label"),
        ["column userID is missing", "tab-separated"],
    ),
    "no rows": (
        lambda folder: b.write_inter(folder, []),
        ["shop.inter", "no rows under a header", "Add"],
    ),
    "no valid rows": (
        table(*b.inter_rows(valid=[])),
        ["shop.inter", "there are no pairs", "x_label"],
    ),
    "no test rows": (table(*b.inter_rows(test=[])), ["shop.inter", "there are no pairs"]),
    "no train rows": (
        table(*b.inter_rows(train=[])),
        ["shop.inter", "there are no pairs"],
    ),
}
ARRAYS = {
    "float ids": (splits(dtype=np.float64), ["train.npy", "float64", 'astype("int64")']),
    "text ids": (splits(train=[("a", "b")], dtype=str), ["train.npy", "<U1", "from 0"]),
    "truth values": (splits(train=[(0, 1)], dtype=bool), ["train.npy", "bool"]),
    "negative id": (
        splits(valid=[(0, 2), (1, -3)]),
        ["valid.npy, column 1", "item id -3 is not between", "from 0"],
    ),
    "absurd id": (
        splits(test=[(0, 3), (BIG, 0)]),
        ["test.npy, column 1", f"user id {BIG}", "not product codes"],
    ),
    "unsigned absurd id": (
        splits(test=[(0, 2**64 - 1)], dtype=np.uint64),
        ["test.npy, column 0", str(2**64 - 1)],
    ),
    "pair twice": (
        splits(valid=[(0, 2), (0, 2)]),
        ["valid.npy, column 1", "[0, 2]", "valid.npy, column 0"],
    ),
    "pair in two splits": (
        splits(test=[(0, 3), (1, 1)]),
        ["test.npy, column 1", "[1, 1]", "train.npy, column 2"],
    ),
    "rows are pairs": (
        file("train.npy", saved(np.array(b.TRAIN))),
        ["train.npy", "(6, 2)", "(2, n)", "transpose"],
    ),
    "one dimension": (
        file("valid.npy", saved(np.arange(4))),
        ["valid.npy", "(4,)", "Row 0 holds the users"],
    ),
    "empty valid": (
        file("valid.npy", saved(np.zeros((2, 0), int))),
        ["valid.npy", "there are no pairs"],
    ),
    "empty train": (
        file("train.npy", saved(np.zeros((2, 0), int))),
        ["train.npy", "there are no pairs"],
    ),
    "missing valid": (without("valid.npy"), ["it holds train.npy, test.npy", "Give one"]),
    "missing train": (without("train.npy"), ["it holds valid.npy, test.npy", "and test.npy"]),
}
FILES = {
    "pickled pairs": (
        file("train.npy", saved(OBJECTS, allow_pickle=True)),
        ["train.npy", "pickled", "plain numbers"],
    ),
    "bare pickle": (
        file("train.npy", pickle.dumps([1])),
        ["train.npy", "cannot be read", "numpy.save"],
    ),
    "text instead of npy": (
        file("test.npy", b"1 2 3"),
        ["test.npy", "cannot be read", "numpy.save"],
    ),
    "empty npy": (file("test.npy", b""), ["test.npy", "cannot be read"]),
    "cut npy": (
        file("valid.npy", saved(np.array(b.VALID).T)[:-8]),
        ["valid.npy", "it may be damaged"],
    ),
    "absurd header": (
        file("train.npy", npy_header((2, 10**15))),
        ["train.npy", "it may be damaged"],
    ),
    "negative header": (
        file("train.npy", npy_header((-2, -3), rest=bytes(48))),
        ["train.npy", "damaged"],
    ),
    "empty inter": (file("shop.inter", b""), ["holds shop.inter, train.npy", "or else"]),
    "pickled features": (
        file("image_feat.npy", saved(OBJECTS, allow_pickle=True)),
        ["image_feat.npy", "pickled"],
    ),
    "absurd features": (
        file("image_feat.npy", npy_header((4, 10**15), "<f4")),
        ["image_feat.npy", "it may be damaged"],
    ),
    "graph is no archive": (
        file("item_knn.npz", b"text"),
        ["item_knn.npz", "cannot be read", "numpy.savez"],
    ),
    "both formats": (both, ["holds shop.inter, train.npy, valid.npy, test.npy", "or else"]),
    "two tables": (two_tables, ["holds other.inter, shop.inter", "one NAME.inter"]),
    "nothing": (
        lambda folder: None,
        ["holds no interactions", "one NAME.inter (MMRec)", "train.npy"],
    ),
}
FEATURES = {
    "NaN": (
        features(image=spoiled(np.nan)),
        ["image_feat.npy, row 2", "column 1: nan is not", "Replace"],
    ),
    "infinite": (features(text=spoiled(-np.inf)), ["text_feat.npy, row 2", "-inf"]),
    "beyond float32": (
        features(image=spoiled(1e300, dtype=float)),
        ["image_feat.npy, row 2", "1e+300", "float32"],
    ),
    "too few rows": (
        features(image=b.features(3, 3)),
        ["image_feat.npy", "(3, 3), not (4, width)", "one row per item"],
    ),
    "too many rows": (
        features(audio=b.features(3, 5)),
        ["audio_feat.npy", "(5, 3), not (4, width)"],
    ),
    "one dimension": (features(image=np.ones(4)), ["image_feat.npy", "(4,), not (4, width)"]),
    "three dimensions": (
        features(image=np.ones((4, 2, 2))),
        ["image_feat.npy", "(4, 2, 2)", "one row"],
    ),
    "no columns": (features(image=np.ones((4, 0))), ["image_feat.npy", "(4, 0)", "width"]),
    "text": (features(image=np.full((4, 2), "x")), ["image_feat.npy", "<U1", "such as float32"]),
    "complex": (
        features(image=np.ones((4, 2), complex)),
        ["image_feat.npy", "dtype is complex128"],
    ),
    "truth values": (features(image=np.ones((4, 2), bool)), ["image_feat.npy", "bool"]),
    "empty modality": (
        features(**{"": b.features(3)}),
        ["_feat.npy", "'' is not a name for a modality"],
    ),
    "odd modality": (
        features(**{"a.b": b.features(3)}),
        ["a.b_feat.npy", "'a.b'", "letters, digits"],
    ),
}
GRAPHS = {
    "source out of range": (
        graph(index=INDEX + 1),
        ["item_knn.npz, image, edge 5", "item id 4", "0 and 3"],
    ),
    "negative": (
        graph(index=INDEX - 1),
        ["item_knn.npz, image, edge 0", "item id -1", "not between"],
    ),
    "float index": (graph(index=INDEX + 0.0), ["item_knn.npz, image", "float64", "integers"]),
    "index transposed": (
        graph(index=INDEX.T),
        ["item_knn.npz, image", "(8, 2), not (2, 8)"],
    ),
    "cosine of another length": (
        graph(cosine=COSINE[:-1]),
        ["item_knn.npz, image", "(2, 8), not (2, 7)", "each edge"],
    ),
    "cosine not finite": (
        graph(cosine=COSINE * np.nan),
        ["item_knn.npz, image, edge 0", "nan", "Replace"],
    ),
    "text cosine": (
        graph(cosine=COSINE.astype(str)),
        ["item_knn.npz, image", "dtype is <U", "float32"],
    ),
    "no edges": (
        graph(index=INDEX[:, :0], cosine=COSINE[:0]),
        ["item_knn.npz, image", "there are no pairs"],
    ),
    "edge twice": (
        graph(index=INDEX * 0),
        ["item_knn.npz, image, edge 1", "[0, 0] occurs twice", "once"],
    ),
    "no cosine": (
        file("item_knn.npz", zipped(image_index=saved(INDEX))),
        ["item_knn.npz", "it has no 'image_cosine'", "no other"],
    ),
    "odd key": (
        file("item_knn.npz", zipped(image=saved(INDEX))),
        ["item_knn.npz", "it has no '_index'"],
    ),
    "no features of that name": (
        graph(modality="img"),
        ["item_knn.npz, img", "no features", "one of: image"],
    ),
    "pickled": (
        file("item_knn.npz", zipped(a=saved(OBJECTS, allow_pickle=True))),
        ["item_knn.npz", "Object arrays", "pickled"],
    ),
    "absurd": (
        file("item_knn.npz", zipped(a=npy_header((2, BIG)))),
        ["item_knn.npz", "it cannot be read"],
    ),
}
ITEMS = {
    "item missing": (
        items("itemID\tname\n0\ta\n1\tb\n3\td\n"),
        ["items.tsv", "not the numbers from 0 to 2", "remove the file"],
    ),
    "item twice": (
        items("itemID\tname\n0\ta\n1\tb\n1\tc\n2\tc\n3\td\n"),
        ["items.tsv", "not the numbers from 0 to 4"],
    ),
    "out of range": (
        items("itemID\ttitle\n0\ta\n1\tb\n2\tc\n9\td\n"),
        ["items.tsv", "not the numbers from 0 to 3"],
    ),
    "too few": (
        items("itemID\tname\n0\ta\n1\tb\n"),
        ["items.tsv", "2 names for 4 items", "one name per item"],
    ),
    "text id": (
        items("itemID\tname\nB0\ta\n"),
        ["items.tsv, line 2", "itemID 'B0'", "not an integer"],
    ),
    "no id column": (
        items("asin\tname\nB0\ta\n"),
        ["items.tsv", "column itemID is missing", "asin, name"],
    ),
    "empty": (items(""), ["items.tsv", "cannot be read"]),
}
GROUPS = {
    "table": TABLE,
    "arrays": ARRAYS,
    "files": FILES,
    "features": FEATURES,
    "graphs": GRAPHS,
    "items": ITEMS,
}
CASES = [
    pytest.param(*case, id=f"{group}: {name}")
    for group, cases in GROUPS.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize("write, words", CASES)
def test_a_fault_is_one_clear_error(write, words, tmp_path):
    write(tmp_path)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert str(tmp_path) in message
    assert "\n" not in message and message.endswith(".") and len(message) < 700


def test_the_row_of_a_split_is_the_line_of_the_file_even_where_splits_are_mixed(tmp_path):
    rows = b.inter_rows()
    mixed = [rows[at] for at in (9, 0, 6, 1, 10, 2, 7, 3, 11, 4, 8, 5)]
    mixed[8] = "2\t-1\t5\t2"
    b.write_inter(tmp_path, mixed)
    with pytest.raises(DataError, match="line 10: item id -1 is not"):
        read_folder(tmp_path)


def test_blank_lines_do_not_shift_the_line_that_is_named(tmp_path):
    b.write_inter(tmp_path, ["", "  ", *b.inter_rows(), "", "2\tx\t5\t2"])
    with pytest.raises(DataError, match="line 17: itemID 'x' is not an integer"):
        read_folder(tmp_path)


def test_an_empty_table_is_named(tmp_path):
    (tmp_path / "shop.inter").write_bytes(b"\xef\xbb\xbf \n")
    with pytest.raises(DataError, match="shop.inter: it has no rows under a header"):
        read_folder(tmp_path)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "shop.inter").mkdir()
    with pytest.raises(DataError, match="shop.inter: it cannot be read"):
        read_folder(tmp_path)


def test_a_damaged_compressed_graph_is_named(tmp_path):
    index, cosine = b.graph_arrays()
    path = b.write_splits(tmp_path) / "item_knn.npz"
    np.savez_compressed(path, image_index=index, image_cosine=cosine)
    content = path.read_bytes()
    start = content.index(b"image_index.npy") + len("image_index.npy") + 20  # past the zip64 field
    path.write_bytes(content[:start] + b"\xff" * 8 + content[start + 8 :])
    with pytest.raises(DataError, match="item_knn.npz: it cannot be read"):
        read_folder(tmp_path)


def test_an_id_is_absurd_only_above_a_hundred_times_the_number_of_pairs(tmp_path):
    rows = b.inter_rows()
    rows[1] = "0\t1200\t5\t0"
    assert read_folder(b.write_inter(tmp_path, rows)).n_items == 1201


def test_no_file_is_ever_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    bomb = np.array([[Bomb()], [0]], dtype=object)
    b.write_splits(tmp_path)
    np.save(tmp_path / "train.npy", bomb, allow_pickle=True)
    with pytest.raises(DataError, match="pickled"):
        read_folder(tmp_path)
    assert not (tmp_path / "exploded").exists()

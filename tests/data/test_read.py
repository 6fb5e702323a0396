"""Both formats are read as they are, into one and the same Dataset."""

import builders as b
import numpy as np
import pytest

from seapkg.data.dataset import SPLITS
from seapkg.data.read import read_folder
from seapkg.errors import DataError

SETTINGS = ({}, {"newline": "\r\n"}, {"bom": True}, {"bom": True, "newline": "\r\n"})


def same(one, other) -> bool:
    return one.fingerprint == other.fingerprint


def folders(tmp_path):
    """Two empty folders of the same name."""
    for side in ("left", "right"):
        (tmp_path / side / "shop").mkdir(parents=True)
    return tmp_path / "left" / "shop", tmp_path / "right" / "shop"


def test_rearm_arrays_are_read_with_users_in_row_0_and_items_in_row_1(tmp_path):
    dataset = read_folder(b.write_splits(tmp_path))
    for split, pairs in zip(SPLITS, (b.TRAIN, b.VALID, b.TEST), strict=True):
        read = getattr(dataset, split)
        assert read.tolist() == [list(pair) for pair in pairs]
        assert read.dtype == np.int64


def test_mmrec_rows_go_to_the_split_of_their_label(tmp_path):
    dataset = read_folder(b.write_inter(tmp_path))
    assert dataset.train.tolist() == [list(pair) for pair in b.TRAIN]
    assert dataset.valid.tolist() == [list(pair) for pair in b.VALID]
    assert dataset.test.tolist() == [list(pair) for pair in b.TEST]


def test_both_formats_of_the_same_data_give_the_same_dataset(tmp_path):
    left, right = folders(tmp_path)
    b.write_features(b.write_graph(b.write_inter(left)), image=b.features(3), text=b.features(2))
    b.write_features(b.write_graph(b.write_splits(right)), image=b.features(3), text=b.features(2))
    assert same(read_folder(left), read_folder(right))


def test_columns_are_found_by_name_in_any_order_and_others_are_ignored(tmp_path):
    left, right = folders(tmp_path)
    rows = [row.split("\t") for row in b.inter_rows()]
    swapped = [
        f"{label}\tnote {at}\t{item}\t{user}" for at, (user, item, _, label) in enumerate(rows)
    ]
    b.write_inter(left, swapped, header="x_label\tcomment\titemID\tuserID")
    assert same(read_folder(left), read_folder(b.write_inter(right)))


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_windows_line_ends_and_a_byte_order_mark_are_tolerated(how, tmp_path):
    left, right = folders(tmp_path)
    assert same(read_folder(b.write_inter(left, **how)), read_folder(b.write_inter(right)))


@pytest.mark.parametrize("how", SETTINGS, ids=str)
def test_item_names_too_may_have_windows_line_ends_and_a_byte_order_mark(how, tmp_path):
    b.write_inter(
        tmp_path, ["0\tA", "1\tB", "2\tC", "3\tD"], header="itemID\tname", name="items.tsv", **how
    )
    assert read_folder(b.write_splits(tmp_path)).item_names == ("A", "B", "C", "D")


def test_blank_lines_and_spaces_around_ids_are_tolerated(tmp_path):
    left, right = folders(tmp_path)
    rows = [
        "",
        *(f" {row.replace(chr(9), ' ' + chr(9) + ' ')} " for row in b.inter_rows()),
        "",
        "  ",
    ]
    b.write_inter(left, rows, header="\t ".join(b.HEADER.split("\t")))
    assert same(read_folder(left), read_folder(b.write_inter(right)))


def test_bytes_that_are_no_text_in_other_columns_do_no_harm(tmp_path):
    path = b.write_inter(tmp_path) / "shop.inter"
    path.write_bytes(path.read_bytes().replace(b"5.0", b"caf\xe9"))
    assert len(read_folder(tmp_path).train) == len(b.TRAIN)


def test_quotes_in_names_are_ordinary_characters(tmp_path):
    text = 'itemID\tname\n0\t"Heroes\n1\tb "quoted"\n2\t"\n3\td\n'
    (b.write_splits(tmp_path) / "items.tsv").write_text(text)
    assert read_folder(tmp_path).item_names == ('"Heroes', 'b "quoted"', '"', "d")


def test_item_names_are_ordered_by_item_id_and_keep_every_script(tmp_path):
    text = "itemID\tasin\ttitle\n3\tx\tБабочка\n0\tx\tNA\n2\tx\t東京\n1\tx\t\n"
    (b.write_splits(tmp_path) / "items.tsv").write_text(text, encoding="utf-8")
    assert read_folder(tmp_path).item_names == ("NA", "", "東京", "Бабочка")


def test_a_name_is_preferred_to_a_title(tmp_path):
    text = "itemID\ttitle\tname\n" + "".join(f"{item}\ttitle\tname\n" for item in range(4))
    (b.write_splits(tmp_path) / "items.tsv").write_text(text)
    assert read_folder(tmp_path).item_names == ("name",) * 4


def test_a_table_of_items_without_names_gives_none(tmp_path):
    (b.write_splits(tmp_path) / "items.tsv").write_text("itemID\tbrand\n0\tx\n")
    assert read_folder(tmp_path).item_names is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_features_of_any_numeric_type_become_float32(dtype, tmp_path):
    x = (b.features(3) * 4).astype(dtype)
    dataset = read_folder(b.write_features(b.write_splits(tmp_path), image=x))
    assert dataset.features["image"].dtype == np.float32
    np.testing.assert_array_equal(dataset.features["image"], x.astype(np.float32))


def test_arrays_in_fortran_or_big_endian_order_are_read_alike(tmp_path):
    left, right = folders(tmp_path)
    x = b.features(3)
    b.write_features(b.write_splits(left, dtype=">i4"), image=np.asfortranarray(x.astype(">f4")))
    assert same(read_folder(left), read_folder(b.write_features(b.write_splits(right), image=x)))


def test_image_comes_first_then_text_then_the_others_by_name(tmp_path):
    names = ("audio", "video", "text", "image")
    b.write_features(b.write_splits(tmp_path), **{name: b.features(2) for name in names})
    assert read_folder(tmp_path).modalities == ("image", "text", "audio", "video")


@pytest.mark.parametrize("names", [("image", "audio"), ("image", "text", "audio"), ("audio",)])
def test_any_modalities_of_any_widths_are_read(names, tmp_path):
    widths = {name: 2 + at for at, name in enumerate(names)}
    b.write_features(
        b.write_splits(tmp_path), **{name: b.features(width) for name, width in widths.items()}
    )
    assert {name: x.shape for name, x in read_folder(tmp_path).features.items()} == {
        name: (b.N_ITEMS, width) for name, width in widths.items()
    }


def test_a_folder_without_features_is_a_dataset_that_says_what_it_misses(tmp_path):
    dataset = read_folder(b.write_splits(tmp_path))
    assert dataset.modalities == ()
    with pytest.raises(DataError) as caught:
        dataset.require_features("sea")
    for word in ("sea", "image_feat.npy", "MODALITY_feat.npy", str(tmp_path)):
        assert word in str(caught.value)


def test_given_graphs_are_read_for_the_modalities_that_have_one(tmp_path):
    b.write_features(b.write_splits(tmp_path), image=b.features(3), text=b.features(2))
    dataset = read_folder(b.write_graph(tmp_path, modality="text"))
    index, cosine = b.graph_arrays()
    assert tuple(dataset.item_graphs) == ("text",)
    np.testing.assert_array_equal(dataset.item_graphs["text"].index, index)
    np.testing.assert_array_equal(dataset.item_graphs["text"].cosine, cosine)
    assert dataset.item_graphs["text"].index.dtype == np.int64


def test_graphs_without_any_features_are_kept(tmp_path):
    assert tuple(read_folder(b.write_graph(b.write_splits(tmp_path))).item_graphs) == ("image",)


def test_compressed_graphs_are_read(tmp_path):
    index, cosine = b.graph_arrays()
    np.savez_compressed(
        b.write_splits(tmp_path) / "item_knn.npz", image_index=index, image_cosine=cosine
    )
    assert read_folder(tmp_path).item_graphs["image"].index.shape == index.shape


def test_hidden_files_are_not_data(tmp_path):
    b.write_splits(tmp_path)
    for name in ("._image_feat.npy", "._shop.inter"):
        (tmp_path / name).write_bytes(b"resource fork")
    assert read_folder(tmp_path).modalities == ()


def test_the_name_is_the_folders_and_the_source_is_as_given(tmp_path, monkeypatch):
    (tmp_path / "shop").mkdir()
    b.write_splits(tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    dataset = read_folder("shop")
    assert (dataset.name, dataset.source) == ("shop", "shop")


def test_files_can_be_replaced_after_reading(tmp_path):
    b.write_features(b.write_splits(tmp_path), image=b.features(3))
    dataset = read_folder(tmp_path)
    before = dataset.features["image"].copy()
    with (tmp_path / "image_feat.npy").open("r+b") as stream:
        stream.seek(-48, 2)
        stream.write(bytes(48))
    np.testing.assert_array_equal(dataset.features["image"], before)


def test_a_column_of_differing_ratings_is_named_in_a_warning(tmp_path, caplog):
    left, right = folders(tmp_path)
    rows = b.inter_rows()
    rows[3] = rows[3].replace("5.0", "1.0")
    data = read_folder(b.write_inter(left, rows))
    assert caplog.messages == [
        f"{left / 'shop.inter'}: ratings are not used: every row counts as one interaction"
    ]
    assert same(data, read_folder(b.write_inter(right))) and len(caplog.messages) == 1


def test_users_who_never_train_are_read_with_a_warning(tmp_path, caplog):
    b.write_splits(tmp_path, test=[(0, 3), (3, 1)])
    assert read_folder(tmp_path).n_users == 4
    assert "1 of 4 users have no training pair" in caplog.text

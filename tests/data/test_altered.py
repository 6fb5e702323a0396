"""Altered datasets: shuffled features follow one permutation, and nothing else changes."""

import builders as b
import numpy as np
import pytest

from seapkg.data.altered import altered, only, original_and_change, shuffled
from seapkg.data.catalogue import KNOWN, load, load_or_known
from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.errors import DataNotFound, RequestError


@pytest.fixture
def data():
    return Dataset.from_arrays(
        b.TRAIN,
        b.VALID,
        b.TEST,
        name="shop",
        source="folder/shop",
        provenance="real",
        features={"image": b.features(3), "text": b.features(2)},
        item_graphs={"image": ItemGraph(*b.graph_arrays())},
        item_names=list("abcd"),
    )


def row_of(data, copy, modality):
    """The original row of each item's features in the copy."""
    same = (copy.features[modality][:, None] == data.features[modality]).all(axis=2)
    assert (same.sum(axis=1) == 1).all()
    return same.argmax(axis=1)


def test_all_modalities_are_shuffled_by_one_permutation_and_pairs_and_names_stay(data):
    copy = shuffled(data)
    rows = row_of(data, copy, "image")
    assert sorted(rows) == [0, 1, 2, 3] and list(rows) != [0, 1, 2, 3]
    assert np.array_equal(rows, row_of(data, copy, "text"))
    assert all(np.array_equal(getattr(copy, x), getattr(data, x)) for x in ("train", "test"))
    assert copy.item_names == data.item_names and copy.fingerprint != data.fingerprint


def test_a_given_graph_follows_its_features(data):
    copy = shuffled(data)
    rows, graph = row_of(data, copy, "image"), copy.item_graphs["image"]
    edges = zip(*rows[graph.index], graph.cosine, strict=True)  # in the original's ids
    index, cosine = b.graph_arrays()
    assert sorted(edges) == sorted(zip(*index, cosine, strict=True))


def test_another_seed_is_another_permutation_with_another_name(data):
    copies = [shuffled(data, seed) for seed in (0, 7)]
    assert [copy.name for copy in copies] == ["shop, shuffled", "shop, shuffled 7"]
    assert copies[0].fingerprint == shuffled(data).fingerprint != copies[1].fingerprint


def test_one_modality_keeps_its_features_and_its_graph(data):
    image, text = only(data, "image"), only(data, "text")
    assert image.modalities == ("image",) and list(image.item_graphs) == ["image"]
    assert text.modalities == ("text",) and not text.item_graphs
    assert np.array_equal(text.features["text"], data.features["text"])
    with pytest.raises(RequestError, match="unknown modality 'audio'; known are image, text"):
        only(data, "audio")


def test_the_name_the_source_and_the_provenance_tell_what_was_done(data):
    copy = shuffled(data)
    assert (copy.name, copy.source) == ("shop, shuffled", "folder/shop, shuffled")
    assert copy.provenance == "real; features: shuffled"


@pytest.mark.parametrize("change", ["shuffled", "shuffled 7", "image alone"])
def test_a_name_leads_back_to_its_original_and_its_change(data, change):
    copy = altered(data, change)
    assert original_and_change(copy.name) == ("shop", change)


@pytest.mark.parametrize("name", ["lfm2k", "home, alone", "a, shuffled b", ", shuffled"])
def test_other_names_are_originals(name):
    assert original_and_change(name) == (name, "")


def test_an_altered_dataset_is_loaded_by_name():
    assert load("synthetic, shuffled").fingerprint == shuffled(load("synthetic")).fingerprint
    assert load("synthetic, text alone").modalities == ("text",)


def test_a_folder_whose_name_looks_altered_is_read_as_it_is(tmp_path):
    folder = tmp_path / "shop, shuffled"
    folder.mkdir()
    b.write_features(b.write_inter(folder), image=b.features(3))
    assert np.array_equal(load(folder).features["image"], b.features(3))


def test_without_files_an_altered_dataset_is_known_by_its_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEAPKG_DATA", str(tmp_path))
    monkeypatch.setattr("seapkg.data.catalogue.BESIDE_PACKAGE", tmp_path)
    known = load_or_known("lfm2k, shuffled")
    assert known is KNOWN["lfm2k, shuffled"]
    assert known.fingerprint != KNOWN["lfm2k"].fingerprint
    with pytest.raises(DataNotFound):
        load_or_known("lfm2k, image alone")  # it has no images

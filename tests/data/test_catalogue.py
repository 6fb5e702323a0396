"""A name or a folder becomes a dataset; what is known about its origin goes with its content."""

import builders as b
import numpy as np
import pytest

import seapkg
from seapkg.data import catalogue
from seapkg.data.catalogue import load
from seapkg.data.dataset import content_hash
from seapkg.data.synthetic import synthetic
from seapkg.errors import DataError


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty working directory, no data beside the package, and none in the environment."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("SEAPKG_DATA", raising=False)
    monkeypatch.setattr(catalogue, "BESIDE_PACKAGE", tmp_path / "beside")
    return here


def shop(folder, name="shop", **changed):
    (folder / name).mkdir(parents=True)
    return b.write_splits(folder / name, **changed)


def test_synthetic_is_built_in():
    assert load("synthetic").fingerprint == synthetic().fingerprint


def test_the_package_offers_load():
    assert seapkg.load is load


def test_a_folder_is_read_as_it_is_given(nowhere):
    shop(nowhere)
    assert load("shop").source == "shop"
    assert load(nowhere / "shop").source == str(nowhere / "shop")


def test_a_name_is_looked_for_in_the_environments_folder(tmp_path, monkeypatch):
    shop(tmp_path / "elsewhere")
    monkeypatch.setenv("SEAPKG_DATA", str(tmp_path / "elsewhere"))
    assert load("shop").source == str(tmp_path / "elsewhere" / "shop")


def test_a_name_is_looked_for_in_data_here_and_beside_the_package(tmp_path, nowhere):
    shop(nowhere / "data", "near")
    shop(tmp_path / "beside", "far")
    assert (load("near").name, load("far").name) == ("near", "far")


def test_the_nearest_place_wins(tmp_path, nowhere, monkeypatch):
    places = [tmp_path / "beside", nowhere / "data", tmp_path / "elsewhere", nowhere]
    monkeypatch.setenv("SEAPKG_DATA", str(tmp_path / "elsewhere"))
    for n_items, place in enumerate(places, start=10):
        shop(place, test=[(0, n_items - 1)])
        assert load("shop").n_items == n_items


def test_a_folder_called_synthetic_does_not_replace_the_built_in(nowhere):
    shop(nowhere, "synthetic")
    assert load("synthetic").n_items == 600
    assert load("./synthetic").n_items == 4


def test_an_unknown_name_lists_where_it_was_looked_for_and_what_is_known(nowhere):
    shop(nowhere / "data")
    (nowhere / "data" / "notes").mkdir()
    with pytest.raises(DataError) as caught:
        load("shp")
    for word in ("'shp'", "data/shp", "Known names: synthetic, shop.", "did you mean 'shop'"):
        assert word in str(caught.value)


def test_nothing_is_claimed_about_unknown_data(nowhere):
    shop(nowhere)
    assert load("shop").provenance == ""


def test_provenance_follows_the_content_and_not_the_name(nowhere, monkeypatch):
    monkeypatch.setitem(catalogue.PROVENANCE, load(shop(nowhere)).fingerprint, "known")
    assert load(shop(nowhere, "other")).provenance == "known"
    assert load(shop(nowhere / "data", "shop", test=b.TEST[:-1])).provenance == ""


def test_known_features_are_labelled_beside_other_pairs_too(nowhere, monkeypatch):
    x = b.features(3)
    monkeypatch.setitem(catalogue.PROVENANCE, content_hash(x), "surrogate features")
    folder = b.write_features(
        shop(nowhere, test=b.TEST[:-1]), text=b.features(2, seed=1), image=x.astype(np.float16)
    )
    assert load(folder).provenance == "surrogate features"


def test_a_label_for_all_of_the_content_goes_before_one_for_its_features(nowhere, monkeypatch):
    x = b.features(3)
    folder = b.write_features(shop(nowhere), image=x)
    monkeypatch.setitem(catalogue.PROVENANCE, content_hash(x), "part")
    monkeypatch.setitem(catalogue.PROVENANCE, load(folder).fingerprint, "whole")
    assert load(folder).provenance == "whole"

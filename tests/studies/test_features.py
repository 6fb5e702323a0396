"""Do the features matter: the versions of the data, options of the original, paired losses."""

import json

import fakes
import numpy as np
import pandas as pd
import pytest
from tiny import tiny

import seapkg
from seapkg.data.catalogue import KNOWN
from seapkg.runs.archive import ITEM_GROUPS, STATE
from seapkg.runs.store import Store
from seapkg.runs.tuned import tuned
from seapkg.studies.features import (
    COLD,
    by_change,
    by_system,
    cold_table,
    feature_systems,
    losses,
    versions,
)
from seapkg.studies.item_groups import RAREST, UNTRAINED

SYSTEMS = ["vbpr", "bm3"]
VALUES = {"toy": 0.3, "toy, shuffled": 0.2, "toy, image alone": 0.25, "toy, text alone": 0.1}


@pytest.fixture(scope="module")
def data():
    return tiny("image", "text", name="toy", provenance="drawn")


def study_of(data, name="features", seeds=(0, 1, 2), **systems):
    on = {"features": "datasets", "cold_items": "cold_on"}[name]
    return seapkg.study(name, **{on: [data]}, seeds=seeds, max_epochs=1, **systems)


def results_of(study, folder, values=VALUES):
    """Finished runs whose metrics are those of the dataset, more for later seeds."""
    specs = [plan.spec for plan in study.plans()]
    by_run = [values[spec.dataset] * (1 + 0.1 * spec.seed) for spec in specs]
    return study.runs(published(folder, specs, by_run), offline=True)


def published(folder, specs, values=None):
    """A store of made-up runs without their models, as in the repository."""
    store = fakes.store_of(folder, *specs, values=values)
    for run in store.list():
        (run.folder / STATE).unlink()
    return store


def test_a_dataset_has_a_shuffled_copy_and_one_for_each_modality(data):
    assert [version.name for version in versions(data)] == list(VALUES)
    assert [version.name for version in versions(tiny("image"))] == ["arrays", "arrays, shuffled"]


@pytest.mark.parametrize("name", ["baby", "sports", "lfm2k", "tiktok"])
def test_the_copies_of_a_known_dataset_are_known(name):
    found = versions(KNOWN[name])
    assert [version.name for version in found[:2]] == [name, f"{name}, shuffled"]
    assert len(found) == 4 == len({version.fingerprint for version in found})


def test_all_versions_have_the_options_of_the_original(data):
    assert tuned("synthetic", "vbpr")["learning_rate"] == 0.005  # the default is another
    plans = study_of("synthetic", systems=["vbpr"], seeds=[0]).plans()
    assert [plan.training.learning_rate for plan in plans] == [0.005] * 4
    assert len({plan.spec.name for plan in plans}) == 4


def test_real_data_has_the_runs_of_the_main_table():
    real = [plan.spec.name for plan in study_of("synthetic", systems=["bm3"]).plans()[:3]]
    main = seapkg.study("main_table", datasets=["synthetic"], systems=["bm3"], max_epochs=1)
    assert real == [plan.spec.name for plan in main.plans()]


def test_the_systems_are_those_that_read_features_and_train_in_time():
    systems = feature_systems()
    assert {"vbpr", "sea (released)", "rearm (clean)"} <= set(systems)
    assert not {"bpr", "lightgcn", "ease", "micro", "mmssl"} & set(systems)


def test_a_loss_is_real_minus_shuffled_of_the_same_seeds(data, tmp_path):
    results = results_of(study_of(data, systems=SYSTEMS), tmp_path)
    table = losses(results)
    assert table[["system", "change"]].to_numpy().tolist() == [[s, "shuffled"] for s in SYSTEMS]
    assert np.allclose(table["by_seed"].tolist(), [[0.1, 0.11, 0.12]] * 2)
    assert results.table().equals(table)


def test_a_system_has_a_row_with_all_versions_of_the_data(data, tmp_path):
    results = results_of(study_of(data, systems=SYSTEMS), tmp_path)
    row = by_system(results).set_index("system").loc["bm3"]
    per_user = 1.02  # the mean over users of a fake fit is larger than its metric
    assert row["shuffled"] == pytest.approx(0.22)
    assert row["loss"] == pytest.approx(0.11 * per_user)
    assert row["real"] == pytest.approx(row["shuffled"] + row["loss"])
    alone = row[["image alone", "text alone"]].astype(float)
    assert alone.tolist() == pytest.approx([0.275, 0.11])
    assert row["dataset"] == "toy" and row["data"] == "drawn" and row["seeds"] == 3
    assert pd.isna(row[f"{RAREST}, real"])


def measured(results, recall):
    """Writes measures into the runs' folders; `recall`: of real runs, a tenth for the others."""
    for row in results.rows:
        value = recall * (1 if row.dataset == "toy" else 0.1) * (1 + row.plan.spec.seed)
        measure = {"recall": value, "users": 7, "ranked": 80}
        text = json.dumps({RAREST: measure, UNTRAINED: measure})
        (row.run.folder / ITEM_GROUPS).write_text(text)
    return results


def test_measures_of_rare_items_stand_beside_those_of_all(data, tmp_path):
    results = measured(results_of(study_of(data, systems=["vbpr"]), tmp_path), 0.1)
    (row,) = by_system(results).to_dict("records")
    assert row[f"{RAREST}, real"] == pytest.approx(0.2)
    assert row[f"{RAREST}, shuffled"] == pytest.approx(0.02)
    first = results.rows[0]  # a real run without measures leaves its seed out
    (first.run.folder / ITEM_GROUPS).unlink()
    (row,) = by_system(results).to_dict("records")
    assert row[f"{RAREST}, shuffled"] == pytest.approx(0.025)


def test_cold_items_are_compared_seed_by_seed_with_chance(data, tmp_path):
    study = study_of(data, "cold_items", cold_systems=SYSTEMS)
    assert list(study.data) == ["toy", "toy, shuffled"]
    table = cold_table(measured(results_of(study, tmp_path), 0.1))
    row = table.set_index("system").loc["vbpr"]
    assert (row["real"], row["shuffled"]) == (pytest.approx(0.2), pytest.approx(0.02))
    assert row["loss"] == pytest.approx(0.18)
    assert row["half_width"] == pytest.approx(0.09 * 4.302652729911275 / 3**0.5)
    assert (row["seeds"], row["users"], row["chance"]) == (3, 7, 0.25)


def test_one_missing_version_leaves_the_others(data, tmp_path):
    study = study_of(data, systems=["vbpr"], seeds=[0])
    specs = [plan.spec for plan in study.plans()]
    store = published(tmp_path, [spec for spec in specs if spec.dataset != "toy, text alone"])
    results = study.runs(store, offline=True)
    (row,) = by_system(results).to_dict("records")
    assert row["verdict"] == "one seed, which cannot tell" and "text alone" not in row
    assert by_change(results).lacks() == "- Not run: toy, vbpr text alone (1 runs)."


def test_without_runs_the_tables_are_empty(tmp_path):
    store = Store(tmp_path)
    results = study_of(KNOWN["lfm2k"]).runs(store, offline=True)
    assert len(losses(results)) == len(by_system(results)) == 0
    assert {"dataset", "system", "real", "shuffled", f"{RAREST}, real"} <= set(by_system(results))
    cold = study_of(KNOWN["tiktok"], "cold_items").table(store, offline=True)
    assert list(cold) == COLD and not len(cold)

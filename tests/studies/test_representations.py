"""What is measured of a model's parts, what is kept of it, and who gets to see it."""

import numpy as np
import pytest
from tiny import tiny

import seapkg
from seapkg.analysis import similarity
from seapkg.data.catalogue import KNOWN
from seapkg.runs.archive import STATE
from seapkg.runs.run import Run
from seapkg.runs.store import Store
from seapkg.studies import representations as module
from seapkg.studies.base import Arm, Result, Results, Study
from seapkg.studies.representations import (
    measures,
    measures_table,
    part_studies,
    part_study,
    sample,
    t_sne,
)

ACROSS = {"matched cosine", "unmatched cosine", "retrieval@10", "linear CKA", "HSIC", "silhouette"}
FEW = {"max_epochs": 1, "embed_dim": 8, "n_neighbours": 3, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def data():
    return tiny("image", "text")


@pytest.fixture
def run(data, tmp_path):
    return seapkg.train("sea", data, store=tmp_path / "store", **FEW)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_like_parts_are_compared_across_modalities_and_generic_with_unique_within():
    names = [f"{m}/{part}" for m in ("image", "text") for part in ("generic", "unique", "aligned")]
    parts = {name: normal(40, 4, seed=number) for number, name in enumerate(names)}
    table = measures(parts)
    found = {pair: set(rows["measure"]) for pair, rows in table.groupby(["a", "b"])}
    assert found == {
        **{(f"image/{kind}", f"text/{kind}"): ACROSS for kind in ("generic", "unique", "aligned")},
        **{
            (f"{m}/generic", f"{m}/unique"): {"linear CKA", "HSIC", "silhouette"}
            for m in ("image", "text")
        },
    }
    value = table.set_index(["a", "b", "measure"])["value"]
    expected = similarity.linear_cka(parts["text/generic"], parts["text/unique"])
    assert value["text/generic", "text/unique", "linear CKA"] == expected


def test_copies_are_as_near_and_as_mixed_as_can_be_and_opposites_apart():
    x = normal(60, 4)
    near = measures({"image/whole": x, "text/whole": 2 * x}).set_index("measure")["value"]
    assert near["matched cosine"] == pytest.approx(1) and near["retrieval@10"] == 1
    assert near["silhouette"] < 0.05
    clouds = {"image/whole": x + 30, "text/whole": x - 30}
    assert measures(clouds).set_index("measure")["value"]["silhouette"] > 0.8


def test_the_sample_holds_the_same_items_of_every_part(monkeypatch):
    monkeypatch.setattr(module, "N_SAMPLED", 7)
    ids = np.arange(30.0)[:, None]
    taken = sample({"image/whole": ids, "text/whole": 2 * ids})
    assert taken["image/whole"].shape == (7, 1) and len(np.unique(taken["image/whole"])) == 7
    assert np.array_equal(taken["text/whole"], 2 * taken["image/whole"])


def test_t_sne_gives_each_item_of_each_part_a_place():
    places = t_sne({"image/whole": normal(20, 4), "text/whole": normal(20, 4, seed=1)})
    assert {name: place.shape for name, place in places.items()} == {
        "image/whole": (20, 2),
        "text/whole": (20, 2),
    }
    assert all(np.isfinite(place).all() for place in places.values())


def results_of(data, *runs):
    arm = Arm("SEA", "sea (released)")
    study = Study("toy", (arm,), {"arrays": data}, measures_table, [0])
    return Results(study, [Result("arrays", arm, None, run) for run in runs])


def test_parts_are_measured_once(run, data, monkeypatch):
    made = part_study(run, data)
    assert set(made.sample) == {
        f"{m}/{kind}" for m in data.modalities for kind in ("generic", "unique", "aligned")
    }
    monkeypatch.setattr(module, "_measure", lambda *_: pytest.fail("measured again"))
    read = part_study(run, data)
    assert read.measures.equals(made.measures)
    assert all(np.array_equal(read.sample[name], made.sample[name]) for name in made.sample)


def test_a_published_summary_holds_the_measures(run, data, tmp_path):
    study = part_study(run, data)
    Store(run.folder.parent).export([run], tmp_path / "reference")
    summary = Run(tmp_path / "reference" / run.name)
    assert not (summary.folder / STATE).exists()
    assert part_study(summary, data).measures.equals(study.measures)


def test_without_a_study_or_a_model_a_run_is_left_out(run, data, tmp_path):
    Store(run.folder.parent).export([run], tmp_path / "reference")
    summary = Run(tmp_path / "reference" / run.name)
    assert part_studies(results_of(data, summary)) == {("arrays", "SEA"): {}}
    known = KNOWN["baby"]  # a model, but no data to run it on
    assert part_studies(results_of(known, run)) == {("arrays", "SEA"): {}}
    assert list(part_studies(results_of(data, run, summary))["arrays", "SEA"]) == [run]
    table = results_of(data, run).table()
    assert set(table["model"]) == {"SEA"} and len(table) == len(part_study(run, data).measures)
    assert part_study(summary, data) is None

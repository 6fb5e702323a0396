"""A training that cannot go on stops, says where, and is not drawn."""

import numpy as np
import pytest
from tiny import tiny

import seapkg
from seapkg.errors import DataError, FailedRun, RequestError, TrainingFault
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.runs.train import carry_out, plan
from seapkg.studies import tables
from seapkg.studies.base import Study, arms_of

HERE = {"device": "cpu", "progress": False}
WILD = {"learning_rate": 1e30, "max_epochs": 20, "embed_dim": 8}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_huge_learning_rate_names_term_or_parameter_and_epoch_and_marks_the_run(store):
    with pytest.raises(
        TrainingFault, match=r"(loss term|parameter) '.*' .* epoch \d+.*learning_rate"
    ) as caught:
        seapkg.train("bpr", tiny(), store=store, **HERE, **WILD)
    planned = plan("bpr", tiny(), **WILD)
    assert store.failure(planned.spec) == str(caught.value)
    assert store.failures() == {planned.spec.name: str(caught.value)}
    assert store.list() == [] and not store.checkpoint(planned.spec).path.exists()


def test_a_failed_run_is_not_trained_again_unless_one_says_so(store, monkeypatch):
    planned = plan("bpr", tiny(), max_epochs=2, embed_dim=8)
    store.root.mkdir(exist_ok=True)
    store.mark_failed(planned.spec, "the loss went away")
    with pytest.raises(FailedRun, match="failed before: the loss went away"):
        seapkg.train("bpr", tiny(), store=store, max_epochs=2, embed_dim=8, **HERE)
    run = carry_out(planned, store, **HERE)
    assert store.failures() == {} and store.find(planned.spec).name == run.name


def test_a_failed_run_is_tried_again_with_retry(store):
    options = {"max_epochs": 2, "embed_dim": 8}
    planned = plan("bpr", tiny(), **options)
    store.root.mkdir(exist_ok=True)
    store.mark_failed(planned.spec, "the loss went away")
    run = seapkg.train("bpr", tiny(), store=store, retry=True, **options, **HERE)
    assert store.failures() == {} and store.find(planned.spec).name == run.name


def test_a_failed_run_is_left_out_of_tables_and_plans_with_a_warning(store, caplog):
    arms = arms_of("bpr", {"tame": {"max_epochs": 1}, "wild": WILD})
    study = Study("toy", arms, [tiny()], tables.main_table, [0])
    results = study.runs(store)
    assert [label for label, _ in results] == ["tame"] and results.counts()["missing"].sum() == 1
    assert "left out" in caplog.text and "learning_rate" in caplog.text
    assert len(store.failures()) == 1 and sweep(study.plans(), store) == []


def test_an_infinite_feature_is_refused_at_the_door():
    x = np.ones((16, 3))
    x[4, 1] = np.inf
    with pytest.raises(DataError, match="row 4.*column 1.*inf is not"):
        tiny(n_items=16).__class__.from_arrays(
            *(getattr(tiny(), split) for split in ("train", "valid", "test")),
            n_items=16,
            features={"image": x},
        )


@pytest.mark.parametrize("option", ["temperature", "learning_rate"])
def test_a_zero_where_one_divides_is_refused_by_name(option, store):
    with pytest.raises(RequestError, match=option):
        seapkg.train("sea", "synthetic", store=store, **{option: 0}, **HERE)


def test_a_temperature_too_small_for_the_numbers_is_named(store):
    """Solosim's exponentials stay finite at any temperature; its gradient grows, until a parameter
    gives way.
    """
    options = {"temperature": 1e-38, "max_epochs": 3, "alignment_weight": 1e30, "embed_dim": 8}
    with pytest.raises(TrainingFault, match="epoch"):
        seapkg.train("sea", "synthetic", store=store, **options, **HERE)

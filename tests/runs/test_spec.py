"""A run's key: the same for the same experiment, another for any other."""

import dataclasses
import json
import string

import numpy as np
import pytest
from fakes import spec

from seapkg.errors import RequestError
from seapkg.models import registry
from seapkg.runs.configure import configure
from seapkg.runs.spec import RunSpec, plain


def test_key_is_twelve_hexadecimal_digits_and_ends_the_name():
    one = spec()
    assert len(one.key) == 12 and set(one.key) <= set(string.hexdigits.lower())
    assert one.name == f"bpr-toy-{one.key}"


CHANGES = [
    {"model": "lightgcn"},
    {"config": {"embed_dim": 8, "regularisation": 1.0}},
    {"training": {"learning_rate": 0.01, "max_epochs": 2}},
    {"dataset": "other"},
    {"dataset_fingerprint": "0" * 64},
    {"seed": 1},
    {"precision": "fast"},
    {"results_version": 2},
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_is_in_the_key(change):
    assert set(change) <= {field.name for field in dataclasses.fields(RunSpec)}
    assert dataclasses.replace(spec(), **change).key != spec().key


def test_the_key_does_not_depend_on_the_order_of_options():
    ordered = spec(a=1, b=2)
    assert spec(b=2, a=1).key == ordered.key


def test_equal_numbers_make_equal_keys_whatever_their_type():
    assert spec(x=1.0).key == spec(x=1).key == spec(x=np.float64(1)).key
    assert spec(x=(1, 2)).key == spec(x=[1, 2]).key


def test_true_is_not_1_and_text_is_not_a_number():
    assert len({spec(x=value).key for value in (True, 1, "1")}) == 3


def test_close_numbers_make_different_keys():
    assert spec(x=0.1).key != spec(x=np.nextafter(0.1, 1)).key


def test_a_spec_survives_json():
    one = spec(x=(1, 2.5), y=None)
    again = RunSpec(**json.loads(json.dumps(plain(one))))
    assert again == one and again.key == one.key


def test_a_dataset_name_cannot_leave_the_store():
    name = spec(dataset="../../a b").name
    assert "/" not in name and " " not in name and not name.startswith(".")


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**63])
def test_a_seed_is_a_whole_number_from_0(seed):
    with pytest.raises(RequestError, match="seed"):
        spec(seed=seed)


def test_an_unknown_precision_is_refused():
    with pytest.raises(RequestError, match="precision"):
        spec(precision="double")


def test_an_option_at_its_default_is_not_in_the_key_so_that_new_options_keep_old_runs():
    config, training = configure("lightgcn", {})
    full = RunSpec("lightgcn", config, training, "toy", "f" * 64, 0)
    older = RunSpec("lightgcn", {"embed_dim": 64}, {}, "toy", "f" * 64, 0)
    assert full.key == older.key
    assert full.differs_from(older) == []


def test_a_formulation_that_is_not_the_default_is_in_the_key():
    keys = {
        RunSpec("sea", *configure("sea", {"formulation": f}), "toy", "f" * 64, 0).key
        for f in ("paper", "released")
    }
    assert len(keys) == 2


def test_a_changed_default_is_noticed():
    config, training = configure("lightgcn", {})
    now = RunSpec("lightgcn", config, training, "toy", "f" * 64, 0)
    before = dataclasses.replace(now, config=now.config | {"n_layers": 7})
    assert now.differs_from(before) == ["n_layers"]


def test_the_results_version_is_that_of_the_system_alone(monkeypatch):
    before = {name: spec(name).key for name in ("bpr", "lightgcn")}
    raised = dataclasses.replace(registry.find("bpr"), version=2)
    monkeypatch.setitem(registry._REGISTER, "bpr", raised)
    assert spec("bpr").results_version == 2 and spec("bpr").key != before["bpr"]
    assert spec("lightgcn").key == before["lightgcn"]
    assert dataclasses.replace(spec("bpr"), results_version=1).key == before["bpr"]

"""Feature tables by name; their projections against one projection of all features."""

import math

import numpy as np
import pytest
import torch
from tiny import tiny
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError
from seapkg.models.features import FeatureTables, LinearContent, check_modality_names

DATASET = tiny("image", "text", "audio")


def content(**options) -> LinearContent:
    torch.manual_seed(0)
    return LinearContent(DATASET, 6, **options)


def table(name: str) -> torch.Tensor:
    return torch.from_numpy(DATASET.features[name].copy())


def test_the_fused_content_is_the_single_projection_of_the_features_side_by_side():
    module = content()
    with torch.no_grad():
        module.bias.normal_()
    features = torch.cat([table(name) for name in DATASET.modalities], dim=1)
    weight = torch.cat([module.weights[name] for name in DATASET.modalities], dim=1)
    expected = F.linear(features, weight, module.bias)
    torch.testing.assert_close(module.fused(module()), expected)


def test_the_projection_of_some_items_is_those_rows_of_the_projection_of_all():
    module, items = content(), torch.tensor([3, 0, 3, 15])
    some, everything = module(items), module()
    assert set(some) == {"image", "text", "audio"}
    for name in some:
        torch.testing.assert_close(some[name], everything[name][items])


def test_weights_are_drawn_xavier_normal_as_one_matrix_and_the_bias_is_zero():
    random = np.random.default_rng(0)
    features = {"image": random.normal(size=(3, 700)), "text": random.normal(size=(3, 300))}
    dataset = Dataset.from_arrays([(0, 0)], [(0, 1)], [(0, 2)], features=features)
    torch.manual_seed(0)
    module = LinearContent(dataset, 64)
    expected = math.sqrt(2 / (64 + 1000))
    for weight in module.weights.values():  # 19 200 weights or more: a relative error of 1/200
        assert abs(weight.std().item() / expected - 1) < 4 / math.sqrt(2 * 19_200)
    assert not module.bias.any()


def test_trained_features_are_parameters_and_get_a_gradient_in_the_rows_that_are_used():
    module = content(trained=True)
    torch.testing.assert_close(module.tables["text"].detach(), table("text"))
    sum(x.sum() for x in module(torch.tensor([2, 5])).values()).backward()
    touched = module.tables["text"].grad.any(dim=1).nonzero().flatten()
    assert touched.tolist() == [2, 5]


def test_features_that_are_not_trained_are_no_parameters_and_not_saved():
    module = content()
    assert {name for name, _ in module.named_parameters()} == {
        "bias",
        "weights.image",
        "weights.text",
        "weights.audio",
    }
    assert not [name for name in module.state_dict() if "tables" in name]


@pytest.mark.parametrize("trained", [False, True])
def test_tables_are_the_features_by_name_and_only_trained_ones_are_saved(trained):
    tables = FeatureTables(DATASET, trained=trained)
    assert list(tables) == ["image", "text", "audio"]
    assert tables.widths_by_name == {"image": 7, "text": 5, "audio": 3}
    assert all(torch.equal(tables[name], table(name)) for name in tables)
    saved = ["image", "text", "audio"] if trained else []
    assert list(tables.state_dict()) == [name for name, _ in tables.named_parameters()] == saved


def test_fixed_tables_share_the_datasets_memory_and_trained_ones_do_not():
    fixed, trained = FeatureTables(DATASET), FeatureTables(DATASET, trained=True)
    address = torch.from_numpy(DATASET.features["text"]).data_ptr()
    assert fixed["text"].data_ptr() == address != trained["text"].data_ptr()


@pytest.mark.parametrize("name", ["items", "type", "forward", "widths_by_name"])
def test_a_name_that_torch_needs_is_refused(name):
    dataset = Dataset.from_arrays([(0, 0)], [(0, 1)], [(0, 2)], features={name: np.ones((3, 2))})
    with pytest.raises(DataError, match=name):
        check_modality_names(dataset)

"""Options by name and as text become configurations, or one clear error."""

import dataclasses

import pytest

from seapkg.errors import RequestError
from seapkg.models import systems
from seapkg.models.sea import SEAConfig
from seapkg.runs.configure import configure
from seapkg.training import TrainingConfig

MODELS = {name: entry.model for name, entry in systems().items()}


@pytest.mark.parametrize("name", MODELS)
def test_without_options_a_model_has_its_defaults(name):
    config, training = configure(name, {})
    assert config == MODELS[name].config_class()
    assert training == TrainingConfig(**MODELS[name].training_defaults)


def test_options_go_to_the_model_or_to_the_training_by_name():
    config, training = configure("bpr", {"embed_dim": 16, "learning_rate": 0.01, "patience": 3})
    assert (config.embed_dim, training.learning_rate, training.patience) == (16, 0.01, 3)


def test_a_model_s_training_defaults_give_way_to_options():
    assert configure("sea", {})[1].learning_rate == 1e-4
    assert configure("sea", {"learning_rate": "2e-3"})[1].learning_rate == 2e-3


@pytest.mark.parametrize(("key", "text", "value"), [
    ("embed_dim", "32", 32), ("embed_dim", " 32 ", 32), ("temperature", "0.05", 0.05),
    ("temperature", "1e-1", 0.1), ("temperature", "1", 1.0), ("club_clamp", "true", True),
    ("club_clamp", "False", False), ("club_clamp", "1", True), ("club_clamp", "no", False),
    ("formulation", "released", "released"), ("log_base", "2", "2"),
])  # fmt: skip
def test_text_becomes_the_type_of_the_option(key, text, value):
    converted = getattr(configure("sea", {key: text})[0], key)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize(("key", "given", "value"), [
    ("embed_dim", 32, 32), ("embed_dim", 32.0, 32), ("temperature", 1, 1.0),
    ("club_clamp", True, True),
])  # fmt: skip
def test_values_that_are_no_text_become_the_type_of_the_option_too(key, given, value):
    converted = getattr(configure("sea", {key: given})[0], key)
    assert converted == value and type(converted) is type(value)


@pytest.mark.parametrize(("name", "key", "value"), [
    ("bpr", "embed_dim", "many"), ("bpr", "embed_dim", "1.5"), ("bpr", "embed_dim", 1.5),
    ("bpr", "embed_dim", ""), ("bpr", "embed_dim", "inf"),
    ("bpr", "embed_dim", "nan"), ("bpr", "embed_dim", None), ("bpr", "learning_rate", "fast"),
    ("bpr", "learning_rate", None), ("bpr", "batch_size", "1e400"),
    ("bpr", "embed_dim", [3]), ("sea", "club_clamp", "maybe"), ("sea", "club_clamp", 2),
    ("sea", "temperature", "none"),
])  # fmt: skip
def test_a_value_that_does_not_convert_is_refused_with_the_option_and_the_value(name, key, value):
    with pytest.raises(RequestError, match=key) as caught:
        configure(name, {key: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("name", "key", "value"), [
    ("bpr", "embed_dim", "0"), ("bpr", "embed_dim", "-3"), ("lightgcn", "n_layers", "-1"),
    ("lightgcn", "embed_dim", "0"), ("vbpr", "embed_dim", "0"), ("freedom", "n_layers", "-1"),
    ("freedom", "n_neighbours", "0"), ("freedom", "edge_dropout", "nan"),
    ("bpr", "regularisation", "nan"), ("sea", "temperature", "-1"), ("sea", "head_hidden", "0"),
    ("sea", "club_learning_rate", "-1"),
    ("bpr", "learning_rate", "0"), ("bpr", "batch_size", "0"), ("bpr", "learning_rate", "inf"),
])  # fmt: skip
def test_a_number_that_makes_no_sense_is_refused_by_name(name, key, value):
    with pytest.raises(RequestError, match=key):
        configure(name, {key: value})


def test_an_unknown_option_is_an_error_that_guesses_and_lists_all_known():
    with pytest.raises(RequestError) as caught:
        configure("lightgcn", {"n_layer": 3})
    message = str(caught.value)
    assert "'n_layer'" in message and "did you mean 'n_layers'" in message
    own = {
        field.name
        for owner in (MODELS["lightgcn"].config_class, TrainingConfig)
        for field in dataclasses.fields(owner)
    }
    assert all(option in message for option in own)
    assert "temperature" not in message


def test_an_option_of_another_model_is_unknown():
    with pytest.raises(RequestError, match="bpr has no option 'temperature'"):
        configure("bpr", {"temperature": 1})


def test_an_unknown_model_is_an_error():
    with pytest.raises(RequestError, match="unknown model 'see'"):
        configure("see", {})


def test_none_stands_for_the_formulation_s_own_value_where_it_may():
    for value in (None, "none", "None"):
        config, _ = configure("sea", {"formulation": "released", "club_clamp": value})
        assert config.club_clamp is True


def test_alignment_none_is_a_choice_and_not_the_default():
    config, _ = configure("sea", {"alignment": "none"})
    assert config.alignment == "none"


def test_every_option_of_a_formulation_can_be_given_as_text():
    for formulation in ("paper", "released"):
        config = dataclasses.asdict(SEAConfig(formulation=formulation))
        assert configure("sea", {key: str(value) for key, value in config.items()})[0] == SEAConfig(
            formulation=formulation
        )

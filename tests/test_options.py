"""One field carries an option's type, bounds, meaning and search range."""

import dataclasses
import pickle
from typing import Literal

import pytest

from seapkg.errors import RequestError
from seapkg.models import systems
from seapkg.options import Range, configuration, describe_options, option
from seapkg.training import TrainingConfig

OWNERS = [TrainingConfig, *(entry.model.config_class for entry in systems().values())]
every_owner = pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)


@configuration
class Toy:
    """A configuration with an option of each type."""

    dropout: float = option(0.1, "Share of edges left out.", ge=0, le=1, search=[0.1, 0.5])
    temperature: float = option(0.2, "Temperature.", gt=0, search=Range(0.1, 1.0, log=True))
    n_layers: int = option(2, "Layers.", ge=0)
    head: Literal["linear", "none"] = option("linear", "The head.")
    average: bool | None = option(None, "Average.")


@pytest.mark.parametrize(("name", "value", "bound"), [
    ("dropout", 7, "less than or equal to 1"), ("dropout", -0.1, "greater than or equal to 0"),
    ("temperature", 0, "greater than 0"), ("temperature", float("nan"), "finite"),
    ("n_layers", -1, "greater than or equal to 0"), ("n_layers", 1.5, "valid integer"),
    ("n_layers", "many", "valid integer"), ("head", "deep", "'linear' or 'none'"),
    ("average", "maybe", "valid boolean"),
])  # fmt: skip
def test_a_wrong_value_is_an_error_that_names_option_value_and_bound(name, value, bound):
    with pytest.raises(RequestError) as caught:
        Toy(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"option {name} must be ") and bound in message
    assert message.endswith(f"; it is {value!r}") and "\n" not in message


def test_an_unknown_option_is_an_error_with_a_guess_and_the_known_options():
    with pytest.raises(RequestError, match=r"'layers' \(did you mean 'n_layers'.*dropout, head"):
        Toy(layers=1)


def test_text_is_converted_to_the_type():
    made = Toy(dropout="0.5", n_layers="3", average="yes")
    assert made == Toy(dropout=0.5, n_layers=3, average=True)
    assert type(made.n_layers) is int and type(Toy(temperature=1).temperature) is float


def test_a_configuration_is_frozen_and_can_be_replaced_and_sent_by_value():
    toy = Toy(n_layers=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy.n_layers = 4
    assert dataclasses.replace(toy, dropout=0.2) == Toy(n_layers=3, dropout=0.2)
    assert pickle.loads(pickle.dumps(toy)) == toy
    with pytest.raises(RequestError, match="n_layers"):
        dataclasses.replace(toy, n_layers=-1)


def test_options_are_described_with_their_search_ranges():
    described = {known.name: known for known in describe_options(Toy)}
    assert list(described) == ["dropout", "temperature", "n_layers", "head", "average"]
    assert described["dropout"].search == [0.1, 0.5]
    assert described["temperature"].search == Range(0.1, 1.0, log=True)
    assert described["head"].choices == ("linear", "none") and described["n_layers"].choices == ()
    assert described["average"].kinds == (bool, type(None)) and described["average"].default is None


@every_owner
def test_every_option_has_a_meaning_of_one_sentence(owner):
    for known in describe_options(owner):
        assert known.meaning[0].isupper() and known.meaning.endswith("."), known.name


@every_owner
def test_every_number_has_a_lower_bound(owner):
    for known in describe_options(owner):
        if int in known.kinds or float in known.kinds:
            with pytest.raises(RequestError, match=known.name):
                owner(**{known.name: -1})


@pytest.mark.parametrize("name", systems())
def test_every_value_that_a_search_tries_is_allowed(name):
    model = systems()[name].model
    owner, is_trained = model.config_class, model.training_defaults.get("max_epochs") != 0
    searched = [known for known in describe_options(owner) if known.search is not None]
    most = 4 - is_trained  # a trained system has a learning rate to search
    assert len(searched) <= most, "a search has at most four options"
    for known in searched:
        search = known.search
        tried = [search.low, search.high] if isinstance(search, Range) else search
        for value in tried:
            owner(**{known.name: value})

"""The contract of every system: shapes, gradients, seeds, determinism, no leak, learning."""

import functools

import numpy as np
import pytest
import torch
from tiny import planted, small, tiny, with_other_test

from seapkg.data.dataset import Dataset
from seapkg.errors import DataError, RequestError
from seapkg.models import Recommender, build, find, systems
from seapkg.options import describe_options
from seapkg.training import TrainingConfig, evaluate, fit

SYSTEMS = systems()
MODALITIES = (("text",), ("image", "text", "audio"))
PAIR = ("image", "text")
#: Further code paths of some systems.
VARIANTS = {
    "vbpr + sea": ("vbpr", {"alignment": "solosim", "distancing": "negative_l2"}, PAIR),
    "itemknn, content": ("itemknn", {"content": True}, PAIR),
    "freedom + sea": ("freedom", {"alignment": "info_nce", "distancing": "club"}, PAIR),
    "freedom, content": ("freedom", {"content_loss_weight": 0.1}, ("image", "audio")),
    "lattice, drift": ("lattice", {"idle_parameters": "drift", "train_features": False}, PAIR),
    "micro, fixed features": ("micro", {"train_features": False}, ("image", "audio")),
    "lgmrec, wide": ("lgmrec", {"n_hyperedges": 8, "n_hyper_layers": 2}, ("image", "audio")),
    "mgcn, fixed features": ("mgcn", {"train_features": False}, ("image", "audio")),
    "dualgnn, short lists": ("dualgnn", {"user_neighbours": 40}, PAIR),
    "rearm, no graphs": ("rearm", {"n_layers": 0, "n_user_layers": 0, "n_item_layers": 0}, PAIR),
    "sea b": ("sea", {"variant": "b"}, ("image", "audio")),
}  # fmt: skip


def options_of(name):
    return {option.name: option for option in describe_options(find(name).model.config_class)}


def formulations(name):
    """One set of options for each formulation; CLUB's clamp would hide its gradient."""
    options = options_of(name)
    unclamped = {"club_clamp": False} if "club_clamp" in options else {}
    if "formulation" not in options:
        return [unclamped]
    return [{"formulation": form} | unclamped for form in options["formulation"].choices]


def contract_cases():
    """Every system of the registry in every formulation, with one and three modalities."""
    cases = {}
    for name, entry in SYSTEMS.items():
        for modalities in MODALITIES if entry.model.needs_features else ((),):
            for options in formulations(name):
                case = ", ".join([name, *filter(None, [options.get("formulation")]), *modalities])
                cases[case] = name, options, modalities
    return cases


CASES = contract_cases() | VARIANTS
every_case = pytest.mark.parametrize("case", CASES)
TRAINED = [
    case
    for case, (name, _, _) in CASES.items()
    if find(name).model.training_defaults.get("max_epochs") != 0
]
every_trained_case = pytest.mark.parametrize("case", TRAINED)
#: With a single modality there is nothing to weigh or to fuse, so some parameters are idle.
every_fusing_case = pytest.mark.parametrize(
    "case", [case for case in TRAINED if len(CASES[case][2]) != 1]
)
every_model = pytest.mark.parametrize("name", SYSTEMS)
multimodal = pytest.mark.parametrize(
    "name", [name for name in SYSTEMS if SYSTEMS[name].model.needs_features]
)
N_ITEMS = 30  # more than are ranked, so that Recall@20 tells models apart
BATCH = torch.tensor([[0, 3, 3, 7, 11, 5], [1, 4, 0, 9, 4, 2], [5, 6, 15, 1, 0, 3]])
SHORT = TrainingConfig(learning_rate=0.01, batch_size=20, max_epochs=3)


def dataset_of(case: str) -> Dataset:
    return tiny(*CASES[case][2], n_items=N_ITEMS)


def model_of(case: str, seed=0, dataset=None):
    name, options, _ = CASES[case]
    dataset = dataset or dataset_of(case)
    model = build(name, dataset, small(name, **options), seed)
    model.begin_epoch(torch.Generator().manual_seed(3))
    return model


def fitted(case: str, dataset: Dataset, seed=0):
    model = model_of(case, dataset=dataset)
    return model, fit(model, dataset, SHORT, seed=seed, device="cpu", progress=False)


@functools.cache
def trained(case: str):
    """The model, its `Fit` and its data; many tests share them and change nothing."""
    dataset = dataset_of(case)
    return *fitted(case, dataset), dataset


def assert_same_state(model, other, *, same=True):
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) == same


def scores_by_product(case: str) -> bool:
    """Whether the score is the product of `embed`'s vectors."""
    return find(CASES[case][0]).model.scorer is Recommender.scorer


# Shapes


@pytest.mark.parametrize("case", [case for case in CASES if scores_by_product(case)])
def test_embeddings_have_a_row_a_user_and_a_row_an_item_and_the_score_is_their_product(case):
    model = model_of(case)
    users, items = model.embed()
    assert users.shape[0] == 12 and items.shape[0] == N_ITEMS and users.shape[1] == items.shape[1]
    assert users.dtype == items.dtype == torch.float32
    asked = torch.tensor([7, 0, 7])
    torch.testing.assert_close(model.score(asked), users[asked] @ items.T)


@every_case
def test_scores_are_new_float32_rows_of_all_items_in_the_order_of_the_users(case):
    model, asked = model_of(case), torch.tensor([7, 0, 7])
    score = model.scorer()
    scores = score(asked)
    assert scores.shape == (3, N_ITEMS) and scores.dtype == torch.float32
    assert torch.equal(scores[0], scores[2]) and torch.equal(scores, model.score(asked))
    torch.testing.assert_close(score(asked[1:2]), scores[1:2])
    before = scores.clone()
    scores.fill_(-torch.inf)  # as the evaluation does with training items
    assert torch.equal(score(asked), before)


@every_case
def test_parts_have_a_row_an_item_and_come_whole_or_in_generic_and_unique(case):
    parts = model_of(case).parts()
    kinds = {name.split("/")[1] for name in parts}
    assert kinds <= {"generic", "unique", "aligned"} or kinds == {"whole"}
    assert all(part.shape[0] == N_ITEMS and part.isfinite().all() for part in parts.values())
    if parts:
        assert {name.split("/")[0] for name in parts} == set(CASES[case][2])


@every_case
def test_it_prints_as_its_name_with_its_parts(case):
    assert str(model_of(case)).startswith(find(CASES[case][0]).model.__name__)


# Losses


@every_trained_case
def test_losses_are_finite_scalars(case):
    terms = model_of(case).losses(*BATCH)
    assert terms and all(term.shape == () and term.isfinite() for term in terms.values())


@every_fusing_case
def test_every_trained_parameter_gets_a_gradient_that_is_not_zero(case):
    model = model_of(case)
    sum(model.losses(*BATCH).values()).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert idle == IDLE.get(case, [])


# A bias cancels in the difference of two scores.
IDLE = {"freedom, content": ["content.bias"]}


def first_loss(model):
    """The ranking loss, "bpr" in most systems."""
    return next(iter(model.losses(*BATCH).values()))


@every_trained_case
def test_the_first_loss_falls_along_its_gradient(case):
    model = model_of(case)
    before = first_loss(model)
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    model.begin_epoch(torch.Generator().manual_seed(3))  # the same dropout
    assert first_loss(model).item() < before.item()


# Seeds


@every_trained_case
def test_the_same_seed_builds_the_same_model_and_another_seed_another(case):
    assert_same_state(model_of(case), model_of(case))
    assert_same_state(model_of(case), model_of(case, seed=1), same=False)


@every_model
def test_building_leaves_the_global_generator_as_it_was(name):
    before = torch.get_rng_state()
    build(name, tiny("image", "text"), small(name), seed=5)
    assert torch.equal(torch.get_rng_state(), before)


# Training


@every_case
def test_training_twice_gives_identical_curves_and_metrics(case):
    first, one, _ = trained(case)
    second, two = fitted(case, dataset_of(case))
    assert_same_state(first, second)
    without_time = [[{**row, "seconds": 0} for row in result.curves] for result in (one, two)]
    assert without_time[0] == without_time[1]
    assert (one.valid, one.test, one.best_epoch) == (two.valid, two.test, two.best_epoch)
    for metric, values in one.per_user.items():
        assert np.array_equal(values, two.per_user[metric])


@every_fusing_case
def test_another_training_seed_gives_another_model(case):
    other, _ = fitted(case, dataset_of(case), seed=1)
    assert_same_state(trained(case)[0], other, same=False)


@every_fusing_case
def test_training_moves_every_trained_parameter(case):
    before, (after, result, _) = model_of(case), trained(case)
    assert len(result.curves) == 3
    parameters = [(name, p) for name, p in after.named_parameters() if p.requires_grad]
    still = [name for name, p in parameters if torch.equal(p, before.get_parameter(name))]
    assert still == IDLE.get(case, [])


@every_trained_case
def test_training_leaves_the_datasets_features_as_they_are(case):
    before, after = dataset_of(case).features, trained(case)[2].features
    assert all(np.array_equal(after[name], features) for name, features in before.items())


@pytest.mark.parametrize("case", [case for case in CASES if len(CASES[case][2]) != 1])
def test_other_test_labels_leave_the_trained_parameters_as_they_are_to_the_bit(case):
    model, _, dataset = trained(case)
    other = with_other_test(dataset)
    assert not np.array_equal(dataset.test, other.test)
    assert_same_state(model, fitted(case, other)[0])


#: Training stops at the first epoch with every item of a group among the first 20. By then three
#: layers of MMGCN tell two groups from the two others, two layers all four.
LEARNING = {"mmgcn": {"n_layers": 2}}


@pytest.mark.parametrize(
    "case", [c for c in contract_cases() if len(CASES[c][2]) != 1 and c in TRAINED]
)
def test_it_learns_what_is_planted(case):
    """Groups of users like groups of items. The trained model must be far ahead of chance (10 of 42
    unseen items, so .24) and of the untrained one, unless its graphs alone find the groups."""
    name, options, _ = CASES[case]
    dataset = planted()
    model = build(name, dataset, small(name, **options, **LEARNING.get(name, {})), seed=0)
    before = evaluate(model, dataset, "test").mean["recall@10"]
    training = TrainingConfig(learning_rate=0.02, batch_size=64, max_epochs=25)
    fitted = fit(model, dataset, training, device="cpu", progress=False)
    assert fitted.test["recall@10"] > max(min(before + 0.1, 0.9), 0.5)


# Data that does not fit


@multimodal
def test_a_multimodal_model_without_features_says_which_files_are_missing(name):
    with pytest.raises(DataError, match="image_feat.npy"):
        build(name, tiny(), small(name), seed=0)


@pytest.mark.parametrize(
    "name", [name for name in SYSTEMS if not SYSTEMS[name].model.needs_features]
)
def test_a_collaborative_model_needs_no_features_and_ignores_them(name):
    plain, rich = (
        build(name, tiny(*modalities), small(name), seed=0) for modalities in ((), ("image",))
    )
    assert_same_state(plain, rich)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if "n_neighbours" in options_of(name)])
def test_more_neighbours_than_items_is_a_request_that_cannot_be_met(name):
    with pytest.raises(RequestError, match="n_neighbours"):
        build(name, tiny("image"), small(name, n_neighbours=17), seed=0)


def train_with_modality(name: str, modality: str):
    random, source = np.random.default_rng(0), tiny("image")
    features = {"image": source.features["image"], modality: random.normal(size=(16, 4))}
    dataset = Dataset.from_arrays(source.train, source.valid, source.test, features=features)
    separated = {"alignment": "solosim", "distancing": "club"}
    options = separated if "alignment" in options_of(name) else {}
    fit(
        build(name, dataset, small(name, **options), seed=0),
        dataset,
        SHORT,
        device="cpu",
        progress=False,
    )


@multimodal
@pytest.mark.parametrize("modality", ["audio-2", "shared", "features"])
def test_a_modality_may_have_any_plain_name(name, modality):
    train_with_modality(name, modality)


@multimodal
@pytest.mark.parametrize("modality", ["type", "items", "copy"])
def test_a_modality_named_like_a_method_of_torch_s_is_served_or_refused_by_name(name, modality):
    try:
        train_with_modality(name, modality)
    except DataError as error:
        assert modality in str(error)


@multimodal
def test_features_one_wide_are_wide_enough(name):
    source = tiny("image")
    features = {"image": source.features["image"][:, :1], "text": source.features["image"][:, 1:3]}
    dataset = Dataset.from_arrays(source.train, source.valid, source.test, features=features)
    model = build(name, dataset, small(name), seed=0)
    assert all(term.isfinite() for term in model.losses(*BATCH).values())


# Evaluation


@every_case
def test_evaluation_draws_nothing_and_looks_the_same_twice(case):
    model = model_of(case).train()
    states = torch.get_rng_state(), model.generator.get_state()
    one, two = (evaluate(model, dataset_of(case), "test").mean for _ in range(2))
    assert one == two
    after = torch.get_rng_state(), model.generator.get_state()
    assert all(torch.equal(a, b) for a, b in zip(states, after, strict=True))

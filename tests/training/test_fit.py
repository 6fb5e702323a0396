"""The training loop: batches, early stopping, the best state, the curves, and failures."""

import sys

import numpy as np
import pytest
import torch
from tiny import small, tiny, with_other_test
from torch import nn

import seapkg.training.fit  # noqa: F401  (the name in its package is the function)
from seapkg.errors import RequestError, TrainingFault
from seapkg.models import build, systems
from seapkg.models.base import Recommender
from seapkg.seeds import STREAMS, generator, stream_seed
from seapkg.training import TrainingConfig, evaluate, fit
from seapkg.training.evaluate import METRICS, Metrics

LOOP = sys.modules["seapkg.training.fit"]
DATASET = tiny("image", "text")


class Fake(Recommender):
    """One weight and a diary of the trainer's calls; `losses_of(fake, users)` gives the terms."""

    def __init__(self, losses_of=None):
        nn.Module.__init__(self)
        self.config = None
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.register_buffer("epochs_begun", torch.zeros(1))
        self.losses_of = losses_of or (lambda fake, users: {"bpr": fake.weight.sum() * 0.1})
        self.batches, self.drawn = [], []

    def begin_epoch(self, generator, epoch=0):
        self.epochs_begun += 1
        self.drawn.append(torch.rand(4, generator=generator))

    def losses(self, users, positives, negatives):
        self.batches.append((users, positives, negatives))
        return self.losses_of(self, users)

    def embed(self):
        return torch.ones(12, 1), torch.linspace(1, 0, 16)[:, None] * self.weight


def train(model, device="cpu", progress=False, seed=0, **options):
    training = TrainingConfig(**{"max_epochs": 3, "batch_size": 20} | options)
    return fit(model, DATASET, training, seed=seed, device=device, progress=progress)


@pytest.fixture
def script(monkeypatch):
    """Replaces evaluation: valid Recall@20 follows `values`; `looks` has (split, epochs begun)."""

    def play(values):
        remaining, looks = list(values), []

        def evaluate_ranking(model, split):
            looks.append((split, int(model.epochs_begun)))
            value = remaining.pop(0) if split == "valid" else 0.25
            return Metrics(
                {name: value for name in METRICS}, np.arange(2), {n: np.zeros(2) for n in METRICS}
            )

        monkeypatch.setattr(LOOP, "Ranking", lambda dataset, split, device: split)
        monkeypatch.setattr(LOOP, "evaluate_ranking", evaluate_ranking)
        return looks

    return play


# Early stopping


@pytest.mark.parametrize(("best", "patience"), [(0, 20), (3, 20), (3, 0), (7, 2)])
def test_training_stops_at_the_first_miss_beyond_patience(script, best, patience):
    values = [0.1 + 0.01 * min(epoch, best) for epoch in range(100)]  # rises, then is level
    script(values)
    fitted = train(Fake(), max_epochs=100, patience=patience)
    assert fitted.best_epoch == best
    assert fitted.epochs == best + 1 + patience + 1  # with 20: the 21st miss ends it
    assert [row["epoch"] for row in fitted.curves] == list(range(fitted.epochs))
    assert fitted.valid["recall@20"] == values[best]


def test_a_rise_just_in_time_starts_the_count_anew(script):
    values = [0.5] + [0.4] * 20 + [0.6] + [0.1] * 40
    script(values)
    fitted = train(Fake(), max_epochs=100)
    assert (fitted.best_epoch, fitted.epochs) == (21, 21 + 22)


def test_training_goes_on_to_the_last_epoch_while_it_improves(script):
    script([0.01 * epoch for epoch in range(30)])
    fitted = train(Fake(), max_epochs=30)
    assert (fitted.best_epoch, fitted.epochs) == (29, 30)


def test_a_rise_too_small_for_four_digits_is_a_rise(script):
    script([0.5, 0.500001, 0.500002])
    assert train(Fake()).best_epoch == 2


def test_what_is_left_of_a_sum_in_another_order_is_no_rise(script):
    script([0.5, 0.5 + 1e-13, 0.5])
    assert train(Fake()).best_epoch == 0


def test_recall_of_zero_at_first_is_a_state_worth_keeping(script):
    script([0.0, 0.0, 0.0])
    assert train(Fake()).best_epoch == 0


def test_the_best_state_is_restored_parameters_and_buffers(script):
    script([0.1, 0.4, 0.2, 0.3])
    model, weights = Fake(), []
    model.losses_of = lambda fake, users: (
        weights.append(fake.weight.item()) or {"bpr": fake.weight.sum()}
    )
    train(model, max_epochs=4)
    assert model.epochs_begun.item() == 2
    assert (
        model.weight.item() == weights[2 * 3]
    )  # what the third epoch of three batches started from


def test_the_test_set_is_looked_at_once_and_in_the_best_state(script):
    looks = script([0.1, 0.4, 0.2, 0.3])
    fitted = train(Fake(), max_epochs=4)
    assert looks == [("valid", 1), ("valid", 2), ("valid", 3), ("valid", 4), ("test", 2)]
    assert set(fitted.test.values()) == {0.25}


def test_what_is_reported_is_what_evaluating_the_returned_model_gives():
    model = build("bpr", DATASET, small("bpr"), seed=0)
    fitted = train(model, max_epochs=6, learning_rate=0.05)
    assert not model.training
    test = evaluate(model, DATASET, "test")
    assert fitted.valid == evaluate(model, DATASET, "valid").mean and fitted.test == test.mean
    assert fitted.per_user["users"].tolist() == test.users.tolist()
    assert all(np.array_equal(fitted.per_user[name], test.per_user[name]) for name in METRICS)
    assert fitted.valid["recall@20"] == max(row["valid/recall@20"] for row in fitted.curves)


# Epochs and batches


def test_every_epoch_takes_each_pair_once_in_another_order_with_other_negatives():
    model = Fake()
    train(model, max_epochs=2, batch_size=20)
    assert [len(users) for users, _, _ in model.batches] == [20, 20, 8] * 2
    epochs = [
        torch.cat([torch.stack(batch, dim=1) for batch in model.batches[k : k + 3]]) for k in (0, 3)
    ]
    for rows in epochs:
        assert sorted(rows[:, :2].tolist()) == sorted(DATASET.train.tolist())
    assert epochs[0][:, :2].tolist() != epochs[1][:, :2].tolist()
    negatives = [{tuple(row[:2]): row[2] for row in rows.tolist()} for rows in epochs]
    assert negatives[0] != negatives[1]


def test_negatives_follow_the_sampler_s_rule():
    model = Fake()
    train(model, max_epochs=20)
    known = {tuple(pair) for pair in DATASET.train.tolist()}
    for users, _, negatives in model.batches:
        drawn = list(zip(users.tolist(), negatives.tolist(), strict=True))
        assert not known & set(drawn) and {item for _, item in drawn} <= set(
            DATASET.train_items.tolist()
        )


def test_the_seed_decides_order_negatives_and_what_the_model_draws():
    models = [Fake() for _ in range(3)]
    for model, seed in zip(models, (4, 4, 5), strict=True):
        train(model, seed=seed)
    first, again, other = (
        [torch.cat(batch) for batch in model.batches] + model.drawn for model in models
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_what_the_model_draws_is_another_stream_than_the_batches():
    model = Fake()
    train(model, seed=4)
    assert torch.equal(model.drawn[0], torch.rand(4, generator=generator(4, "model")))
    assert len({stream_seed(seed, stream) for seed in range(50) for stream in STREAMS}) == 150


def test_the_auxiliary_fit_comes_after_the_backward_pass_and_before_the_step():
    model, seen = Fake(), []
    model.losses_of = lambda fake, users: (
        seen.append(fake.weight.item()) or {"bpr": fake.weight.sum()}
    )
    model.fit_auxiliary = lambda: seen.append((model.weight.item(), model.weight.grad.item()))
    train(model, max_epochs=1)
    before, (during, gradient) = seen[:2]
    assert before == during and gradient == 1.0
    assert seen[2] != before


def test_training_is_adam_with_the_given_learning_rate(script):
    script([0.1, 0.2, 0.3])
    model, twin = Fake(), nn.Parameter(torch.tensor([1.0]))
    model.losses_of = lambda fake, users: {"square": (fake.weight - 3).square().sum()}
    train(model, learning_rate=0.07)
    adam = torch.optim.Adam([twin], lr=0.07)
    for _ in range(9):
        adam.zero_grad()
        (twin - 3).square().sum().backward()
        adam.step()
    torch.testing.assert_close(model.weight, twin)


def test_parameters_that_want_no_gradient_are_left_alone():
    model = Fake()
    model.frozen = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
    train(model)
    assert model.frozen.item() == 2.0 and model.weight.item() != 1.0


# Curves


def test_curves_have_the_mean_of_each_term_their_sum_the_seconds_and_the_valid_metrics():
    model = Fake(
        lambda fake, users: {
            "a": fake.weight.sum() * 0 + len(users),
            "b": fake.weight.sum() * 0 - 1,
        }
    )
    fitted = train(model, max_epochs=2)
    for epoch, row in enumerate(fitted.curves):
        valid = [f"valid/{name}" for name in METRICS]
        assert set(row) == {"epoch", "seconds", "loss", "loss/a", "loss/b", *valid}
        assert row["epoch"] == epoch and row["seconds"] >= 0
        assert (row["loss/a"], row["loss/b"]) == (pytest.approx(48 / 3), -1)
        assert row["loss"] == pytest.approx(48 / 3 - 1)


def test_a_fit_says_how_long_it_took_and_where(script):
    script([0.1, 0.2, 0.3])
    fitted = train(Fake())
    seconds = sorted(row["seconds"] for row in fitted.curves)
    assert fitted.seconds_per_epoch == seconds[1]
    assert fitted.seconds_total >= sum(seconds)
    assert fitted.peak_memory_mb > 0 and fitted.device.startswith("cpu")


# Without training


def test_no_epochs_at_all_evaluates_the_model_as_it_is():
    model = build("bpr", DATASET, small("bpr"), seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fitted = train(model, max_epochs=0)
    assert (fitted.epochs, fitted.best_epoch, fitted.curves, fitted.seconds_per_epoch) == (
        0,
        -1,
        [],
        0.0,
    )
    assert fitted.valid == evaluate(model, DATASET, "valid").mean
    assert fitted.test == evaluate(model, DATASET, "test").mean
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_a_configuration_the_model_s_own_is_used(monkeypatch):
    monkeypatch.setattr(Fake, "training_defaults", {"max_epochs": 2, "batch_size": 48})
    model = Fake()
    assert fit(model, DATASET, device="cpu", progress=False).epochs == 2
    assert len(model.batches) == 2


# Faults


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_loss_that_is_not_finite_stops_training_and_names_term_and_epoch(value):
    def losses(fake, users):
        broken = value if len(fake.batches) == 3 * 2 + 2 else 0.0
        return {"bpr": fake.weight.sum(), "alignment": fake.weight.sum() + broken}

    with pytest.raises(TrainingFault, match=f"'alignment' became {value} in epoch 2, batch 1"):
        train(Fake(losses), max_epochs=9)


def broken_term(name, model=None):
    """What the error says where the term `name` is not a number in the first batch."""
    model = model or Fake()
    model.losses_of = lambda fake, users: {name: fake.weight.sum() * torch.nan}
    with pytest.raises(TrainingFault) as caught:
        fit(model, DATASET, TrainingConfig(), device="cpu", progress=False)
    return str(caught.value)


def test_a_temperature_is_named_only_where_a_term_divides_by_it():
    assert broken_term("alignment").endswith("lower learning_rate, or raise temperature")
    assert broken_term("contrast").endswith("lower learning_rate, or raise temperature")
    assert broken_term("bpr").endswith("lower learning_rate")


def test_huge_features_are_named_where_they_are_the_cause():
    features = {**DATASET.features, "text": DATASET.features["text"] * 4e18}
    splits = DATASET.train, DATASET.valid, DATASET.test
    dataset = DATASET.from_arrays(*splits, n_items=16, features=features)
    model = build("vbpr", dataset, small("vbpr", regularisation=1e3), seed=0)
    with pytest.raises(
        TrainingFault, match="features of text reach [0-9]e.1[89].*scale them"
    ) as caught:
        fit(model, dataset, TrainingConfig(max_epochs=30), device="cpu", progress=False)
    assert "temperature" not in str(caught.value)


def test_a_gradient_that_breaks_the_parameters_in_the_last_step_is_no_result():
    """sqrt(0) is finite, its gradient is not: the weight is NaN after the only step."""
    model = Fake(lambda fake, users: {"root": (fake.weight * 0).sqrt().sum()})
    with pytest.raises(TrainingFault, match="epoch 0"):
        train(model, max_epochs=1, batch_size=48)


def test_ctrl_c_leaves_through_and_gives_the_precision_back():
    def losses(fake, users):
        if len(fake.batches) == 5:
            raise KeyboardInterrupt
        return {"bpr": fake.weight.sum()}

    before, model = torch.get_float32_matmul_precision(), Fake(losses)
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            DATASET,
            TrainingConfig(batch_size=20),
            device="cpu",
            precision="fast",
            progress=True,
        )
    assert torch.get_float32_matmul_precision() == before
    assert len(model.batches) == 5


@pytest.mark.parametrize("options", [{"device": "gpu"}, {"precision": "double"}])
def test_a_device_or_precision_that_is_none_is_refused_before_anything_is_trained(options):
    model = Fake()
    with pytest.raises(RequestError, match=next(iter(options))):
        fit(model, DATASET, progress=False, **{"device": "cpu"} | options)
    assert not model.batches


@pytest.mark.parametrize("options", [
    {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"batch_size": 0}, {"max_epochs": -1},
    {"patience": -1},
], ids=str)  # fmt: skip
def test_an_impossible_training_option_is_refused_by_name(options):
    with pytest.raises(RequestError, match=next(iter(options))):
        TrainingConfig(**options)


@pytest.mark.parametrize(
    ("negatives", "leaks"), [("train_items", False), ("all_items", False), ("never_held_out", True)]
)
def test_only_negatives_that_spare_held_out_items_let_the_test_set_into_the_model(negatives, leaks):
    options, trained = (
        TrainingConfig(learning_rate=0.01, batch_size=16, max_epochs=4, negatives=negatives),
        [],
    )
    for data in (DATASET, with_other_test(DATASET)):
        model = build("bpr", data, small("bpr"), seed=0)
        fit(model, data, options, device="cpu", progress=False)
        trained.append(model.items.detach().clone())
    assert torch.equal(*trained) != leaks


def test_weight_decay_shrinks_parameters_beside_adam_s_step():
    """One batch: AdamW is Adam on parameters that were shrunk by 1 - rate * decay."""
    norms = {}
    for decay in (0.0, 5.0):
        model = build("bpr", DATASET, small("bpr", regularisation=0.0), seed=0)
        start = model.items.detach().clone()
        training = TrainingConfig(
            learning_rate=0.01, batch_size=10**6, max_epochs=1, weight_decay=decay
        )
        fit(model, DATASET, training, device="cpu", progress=False)
        norms[decay] = model.items.detach()
    torch.testing.assert_close(norms[5.0], norms[0.0] - 0.05 * start, rtol=1e-4, atol=1e-6)


# Side effects


@pytest.mark.parametrize("name", ["bpr", "freedom", "sea"])
def test_the_global_generators_are_left_as_they_were(name):
    model = build(
        name, DATASET, small(name, **({"formulation": "released"} if name == "sea" else {})), seed=0
    )
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_without_a_terminal_progress_is_a_line_an_epoch_on_stderr(capsys):
    train(Fake(), progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 3 and "\r" not in err
    for epoch, line in enumerate(lines):
        assert line.startswith(f"epoch {epoch}: loss ") and line.count("R@20") == 1
    assert "valid R@20" in lines[2] and ", best " in lines[2]


def test_on_a_terminal_progress_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(Fake(), progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "\r" in err
    assert all(word in err for word in ("epoch 2", "loss", "valid R@20", "best"))


def test_without_progress_nothing_is_written(capsys):
    train(Fake())
    assert capsys.readouterr() == ("", "")


# CUDA


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", [*systems(), "released"])
def test_on_cuda_a_model_trains_and_ranks_as_the_cpu_ranks_it(name):
    formulation = {"formulation": "released"} if name == "released" else {}
    name = "sea" if name == "released" else name
    model = build(name, DATASET, small(name, **formulation), seed=0)
    fitted = train(model, device="cuda")
    assert fitted.device.startswith("cuda") and fitted.peak_memory_mb > 0
    assert evaluate(model.cpu(), DATASET, "test").mean == pytest.approx(fitted.test, abs=1e-6)

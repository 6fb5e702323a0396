"""The hooks of a recommender: a toy model for each, and a resumed training."""

import numpy as np
import pytest
import torch
from tiny import small, tiny
from torch import nn

from seapkg.data.dataset import Dataset
from seapkg.models import build
from seapkg.models.base import Recommender, embedding_table, rows
from seapkg.training import TrainingConfig, evaluate, fit
from seapkg.training.checkpoint import Checkpoint

DATASET = tiny()
TRAINING = TrainingConfig(learning_rate=0.01, batch_size=20, max_epochs=4)


class Toy(Recommender):
    """A user table and an item table."""

    def __init__(self, dataset=DATASET):
        super().__init__(dataset, None)
        torch.manual_seed(0)
        self.users, self.items = embedding_table(12, 4), embedding_table(16, 4)
        self.diary = []

    def embed(self):
        return self.users, self.items

    def losses(self, users, positives, negatives):
        self.diary.append("batch")
        return super().losses(users, positives, negatives)


class Scheduled(Toy):
    """The rate is halved each epoch."""

    def learning_rate(self, base, epoch):
        return base * 0.5**epoch


class Stochastic(Toy):
    """Another main optimiser: plain gradient descent with decay added to the gradient."""

    def optimiser(self, parameters, learning_rate, weight_decay):
        return torch.optim.SGD(parameters, lr=learning_rate, weight_decay=0.1)


class Rebuilding(Toy):
    """A mask of the items is drawn anew in each epoch."""

    def begin_epoch(self, generator, epoch=0):
        super().begin_epoch(generator, epoch)
        self.mask = torch.rand(16, 1, generator=generator)
        self.diary.append(("epoch", epoch, self.mask.sum().item()))


class PreTrained(Toy):
    """The item table starts from a draw that a phase before the first epoch makes."""

    def before_training(self, generator):
        self.diary.append("before")
        with torch.no_grad():
            self.items.copy_(torch.rand(16, 4, generator=generator))


class Adversarial(Toy):
    """A discriminator with its own decaying optimiser; the main one must leave it alone."""

    def __init__(self, dataset=DATASET):
        super().__init__(dataset)
        self.critic = nn.Linear(4, 1)
        self.critic_optimiser = torch.optim.AdamW(
            self.critic.parameters(), lr=0.05, weight_decay=0.1
        )

    def losses(self, users, positives, negatives):
        terms = super().losses(users, positives, negatives)
        self.real, self.fake = rows(self.items, positives).detach(), rows(self.items, negatives)
        return terms | {"fooling": 0.1 * self.critic(self.fake).mean()}

    def fit_auxiliary(self):
        self.diary.append("auxiliary")
        self.critic_optimiser.zero_grad()
        (self.critic(self.real).mean() - self.critic(self.fake.detach()).mean()).backward()
        self.critic_optimiser.step()

    def auxiliary_optimisers(self):
        return {"critic": self.critic_optimiser}


class Prepared(Toy):
    """Something precedes each batch."""

    def before_batch(self, users, positives, negatives):
        self.diary.append(len(users))


class Distance(Toy):
    """The score is minus a distance, no dot product; dropout sleeps at evaluation."""

    def __init__(self, dataset=DATASET):
        super().__init__(dataset)
        self.dropout = nn.Dropout(0.5)

    def scorer(self):
        users, items = self.dropout(self.users), self.items
        return lambda asked: -torch.cdist(users[asked], items)


def train(model, checkpoint=None, training=TRAINING):
    return fit(model, DATASET, training, device="cpu", progress=False, checkpoint=checkpoint)


def same_state(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_schedule_sets_the_rate_of_each_epoch():
    model, rates = Scheduled(), []
    build = model.optimiser

    def optimiser(*arguments):
        made = build(*arguments)
        made.register_step_pre_hook(lambda *_: rates.append(made.param_groups[0]["lr"]))
        return made

    model.optimiser = optimiser
    train(model)
    assert rates[::3] == [0.01, 0.005, 0.0025, 0.00125]


def test_a_model_may_have_another_main_optimiser():
    model, twin = Stochastic(), Toy()
    model.losses = lambda users, positives, negatives: {"sum": model.items.sum()}
    train(model, training=TrainingConfig(learning_rate=0.01, batch_size=48, max_epochs=1))
    expected = twin.items - 0.01 * (1 + 0.1 * twin.items)
    torch.testing.assert_close(model.items, expected)


def test_an_epoch_begins_with_its_number_and_fresh_draws_before_its_batches():
    model = Rebuilding()
    train(model)
    epochs = [entry for entry in model.diary if entry != "batch"]
    assert [epoch for _, epoch, _ in epochs] == [0, 1, 2, 3]
    assert len({drawn for _, _, drawn in epochs}) == 4
    assert model.diary[0] == epochs[0] and model.diary[1:4] == ["batch"] * 3


def test_a_phase_before_training_comes_once_and_first():
    model = PreTrained()
    train(model)
    assert model.diary.count("before") == 1 and model.diary[0] == "before"


def test_the_auxiliary_step_follows_each_batch_and_its_parameters_are_its_own():
    model, still = Adversarial(), Adversarial()
    still.fit_auxiliary = lambda: None
    train(model), train(still)
    assert model.diary[:4] == ["batch", "auxiliary", "batch", "auxiliary"]
    assert torch.equal(still.critic.weight, Adversarial().critic.weight)
    assert not torch.equal(model.critic.weight, still.critic.weight)


def test_the_hook_before_a_batch_precedes_its_losses():
    model = Prepared()
    train(model)
    assert model.diary[:4] == [20, "batch", 20, "batch"]


@pytest.mark.parametrize("toy", [Scheduled, Rebuilding, PreTrained, Adversarial])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_training_resumes_with_every_hook(toy, epoch, tmp_path):
    class Killed(Exception):
        pass

    whole, first, second = toy(), toy(), toy()
    expected = train(whole)
    losses, left = first.losses, [3 * epoch + 1]

    def mortal(*batch):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return losses(*batch)

    first.losses = mortal
    with pytest.raises(Killed):
        train(first, Checkpoint(tmp_path / "state.npz", "toy", every=0))
    resumed = train(second, Checkpoint(tmp_path / "state.npz", "toy", every=0))
    assert second.diary.count("batch") == 3 * (4 - epoch) and "before" not in second.diary
    assert same_state(whole, second) and resumed.valid == expected.valid


def test_a_training_with_club_resumes_whatever_the_modalities_are_called(tmp_path):
    named = tiny("image", "text")
    features = dict(zip(["main", "7"], named.features.values(), strict=True))
    splits = named.train, named.valid, named.test
    dataset = Dataset.from_arrays(*splits, n_items=named.n_items, features=features)

    def trained(epochs, checkpoint=None):
        model = build("sea", dataset, small("sea"), seed=0)
        training = TrainingConfig(learning_rate=0.01, batch_size=48, max_epochs=epochs)
        fit(model, dataset, training, device="cpu", progress=False, checkpoint=checkpoint)
        return model

    checkpoint = Checkpoint(tmp_path / "state.npz", "sea", every=0)
    trained(1, checkpoint)
    assert same_state(trained(3), trained(3, checkpoint))


def test_a_score_may_be_no_dot_product_and_nothing_is_dropped_at_evaluation():
    model = Distance()
    users, items = model.users.detach().numpy(), model.items.detach().numpy()
    distances = np.linalg.norm(users[:, None] - items, axis=2)
    for user, item in DATASET.train.tolist():
        distances[user, item] = np.inf
    best = np.argsort(distances, axis=1)[:, :10]
    test = {user: item for user, item in DATASET.test.tolist()}
    found = evaluate(model, DATASET, "test")
    expected = [float(test[user] in best[user]) for user in found.users.tolist()]
    assert found.per_user["recall@10"].tolist() == expected

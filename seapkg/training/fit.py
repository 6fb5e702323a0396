"""The training loop: batches, early stopping on valid Recall@20, the best state kept, the test set looked at once."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seapkg.device import (
    choose_device,
    describe_device,
    explained,
    forget_peak_memory,
    peak_memory_mb,
    precision_context,
)
from seapkg.errors import TrainingFault
from seapkg.seeds import generator
from seapkg.state import adam_state, flat, load_adam_state, under
from seapkg.training.checkpoint import Checkpoint
from seapkg.training.config import TrainingConfig
from seapkg.training.evaluate import Metrics, Ranking, evaluate_ranking
from seapkg.training.negatives import NegativeSampler

MONITOR = "recall@20"
TIE = 1e-12  # what the order of a sum can leave between two equal means


@dataclass(frozen=True)
class Fit:
    """What a training gave.

    curves: one row an epoch: epoch, seconds, loss, loss/TERM (means over batches), valid/METRIC.
    best_epoch: counted from 0; -1 when nothing was trained. epochs: how many were run.
    valid, test: metrics at the best epoch. per_user: "users" and each metric on the test split.
    seconds_per_epoch: median of the training part, evaluation left out. peak_memory_mb: of the process, or on CUDA
    of the device's allocations.
    """

    curves: list[dict[str, float]]
    best_epoch: int
    epochs: int
    valid: dict[str, float]
    test: dict[str, float]
    per_user: dict[str, np.ndarray]
    seconds_total: float
    seconds_per_epoch: float
    peak_memory_mb: float
    device: str


@dataclass
class _Progress:
    """Early stopping: the best epoch so far, its metrics and its state."""

    patience: int
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    valid: dict[str, float] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    seconds_before: float = 0.0  # what earlier processes spent on the epochs that were taken up

    def record(self, model, row: dict[str, float], valid: Metrics) -> None:
        self.curves.append(row | {f"valid/{name}": value for name, value in valid.mean.items()})
        if not self.valid or valid.mean[MONITOR] > self.valid[MONITOR] + TIE:
            self.best_epoch, self.valid = len(self.curves) - 1, valid.mean
            self.state = {
                name: _unbroken(tensor, name, self.best_epoch)
                for name, tensor in model.state_dict().items()
            }

    @property
    def last_epoch(self) -> int:
        """Where training stops unless valid Recall@20 rises again: the epoch of the miss beyond `patience`."""
        return self.best_epoch + self.patience + 1


def fit(
    model,
    dataset,
    training: TrainingConfig | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "exact",
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Trains `model` in place and leaves it in its best state.

    Args:
        model: a `Recommender` built from `dataset`.
        training: the protocol's numbers; by default the model's own.
        seed: of the order of pairs, the negatives and whatever the model draws.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "exact" float32, or "fast", which lets matrix products use TF32 (CUDA) or bfloat16 (CPU).
        progress: show a progress bar on stderr.
        checkpoint: where the state is kept between epochs; a training that was killed goes on from there, and ends
            with the metrics that it would have had (exactly so on a CPU with as many threads).

    Raises TrainingFault
    when a loss term is not finite, naming the term and the epoch, OutOfMemory, and BrokenFile for a checkpoint that
    is whole and yet not of this training.
    """
    training = training or TrainingConfig(**model.training_options(model.config))
    target = choose_device(device)
    forget_peak_memory(target)
    started = time.perf_counter()
    with precision_context(precision), explained("training and evaluating", "lower embed_dim"):
        model.to(target).train()
        state = _train(model, dataset, training, seed, target, progress, checkpoint)
        if state.state:
            model.load_state_dict(state.state)
        model.eval()
        test = evaluate_ranking(model, Ranking(dataset, "test", device=target))
        valid = (
            state.valid or evaluate_ranking(model, Ranking(dataset, "valid", device=target)).mean
        )
    return Fit(
        curves=state.curves,
        best_epoch=state.best_epoch,
        epochs=len(state.curves),
        valid=valid,
        test=test.mean,
        per_user={"users": test.users, **test.per_user},
        seconds_total=time.perf_counter() - started + state.seconds_before,
        seconds_per_epoch=statistics.median(row["seconds"] for row in state.curves)
        if state.curves
        else 0.0,
        peak_memory_mb=peak_memory_mb(target),
        device=describe_device(target),
    )


def _train(
    model,
    dataset,
    training: TrainingConfig,
    seed: int,
    device: torch.device,
    progress: bool,
    checkpoint: Checkpoint | None,
) -> _Progress:
    state, started = _Progress(training.patience), time.perf_counter()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if training.max_epochs == 0 or not parameters:
        return state
    optimiser = _optimiser(parameters, training)
    batches = _Batches(dataset, training, seed, device)
    own = generator(seed, "model", device)
    whole = _Whole(model, optimiser, {"batches": batches.generator, "model": own}, state)
    if checkpoint is not None and (found := checkpoint.load(device.type)):
        try:
            whole.take_up(*found)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise checkpoint.misfit(error) from error
    valid = Ranking(dataset, "valid", device=device)
    done = len(batches) * len(state.curves)
    with tqdm(initial=done, disable=not progress, unit="batch", dynamic_ncols=True) as bar:
        for epoch in range(len(state.curves), training.max_epochs):
            if epoch > state.last_epoch:
                break
            bar.total = len(batches) * min(training.max_epochs, state.last_epoch + 1)
            bar.set_description(f"epoch {epoch}")
            with explained(
                "a training step", f"lower batch_size, which is {training.batch_size}, or embed_dim"
            ):
                row = _train_epoch(model, optimiser, batches, own, epoch, bar)
            state.record(model, row, evaluate_ranking(model, valid))
            bar.set_postfix_str(_summary(row, state))
            if checkpoint is not None and checkpoint.is_due():
                checkpoint.save(
                    whole.tensors(), whole.facts(time.perf_counter() - started), device.type
                )
    return state


@dataclass(frozen=True)
class _Whole:
    """All that an epoch leaves to the next one, to be written to a checkpoint and taken up again."""

    model: object
    optimiser: torch.optim.Optimizer
    generators: dict[str, torch.Generator]
    state: _Progress

    def tensors(self) -> dict[str, Tensor]:
        return {
            **flat("model", self.model.state_dict()),
            **flat("best", self.state.state),
            **flat("adam", adam_state(self.optimiser)),
            **flat("auxiliary", self.model.auxiliary_state()),
            **flat("generator", {name: own.get_state() for name, own in self.generators.items()}),
        }

    def facts(self, seconds: float) -> dict[str, object]:
        known = {name: getattr(self.state, name) for name in ("curves", "best_epoch", "valid")}
        return {**known, "seconds": self.state.seconds_before + seconds}

    def take_up(self, tensors: dict[str, Tensor], facts: dict) -> None:
        self.model.load_state_dict(under("model", tensors))
        load_adam_state(self.optimiser, under("adam", tensors))
        self.model.load_auxiliary_state(under("auxiliary", tensors))
        for name, state in under("generator", tensors).items():
            self.generators[name].set_state(state)
        self.state.state = under("best", tensors)
        self.state.curves, self.state.best_epoch = facts["curves"], facts["best_epoch"]
        self.state.valid, self.state.seconds_before = facts["valid"], facts["seconds"]


def _optimiser(parameters: list[Tensor], training: TrainingConfig) -> torch.optim.Optimizer:
    if training.weight_decay:
        decay = training.weight_decay
        return torch.optim.AdamW(
            parameters, lr=training.learning_rate, weight_decay=decay, fused=True
        )
    return torch.optim.Adam(parameters, lr=training.learning_rate, fused=True)


def _train_epoch(
    model, optimiser, batches: _Batches, own: torch.Generator, epoch: int, bar
) -> dict[str, float]:
    started = time.perf_counter()
    model.begin_epoch(own)
    history = []
    for users, positives, negatives in batches.epoch():
        optimiser.zero_grad(set_to_none=True)
        terms = model.losses(users, positives, negatives)
        sum(terms.values()).backward()
        model.fit_auxiliary()
        optimiser.step()
        history.append(torch.stack([term.detach() for term in terms.values()]))
        bar.update()
    values = _finite(torch.stack(history), list(terms), epoch, model.config)
    means = {
        f"loss/{name}": value
        for name, value in zip(terms, values.mean(dim=0).tolist(), strict=True)
    }
    return {
        "epoch": epoch,
        "seconds": time.perf_counter() - started,
        "loss": sum(means.values()),
        **means,
    }


def _finite(history: Tensor, names: list[str], epoch: int, config) -> Tensor:
    """The terms by batch [n_batches, n_terms] as float64 on the host; the first value that is not finite is a fault."""
    history = history.double().cpu()
    broken = (~history.isfinite()).nonzero()
    if len(broken):
        batch, term = broken[0].tolist()
        raise TrainingFault(
            f"the loss term {names[term]!r} became {history[batch, term].item()} in epoch {epoch}, batch {batch}: "
            f"lower learning_rate{', or raise temperature' if hasattr(config, 'temperature') else ''}"
        )
    return history


def _unbroken(tensor: Tensor, name: str, epoch: int) -> Tensor:
    """A copy to keep; a parameter that is not finite any more is a fault, whatever the losses said."""
    if not tensor.isfinite().all():
        raise TrainingFault(
            f"the parameter {name!r} is not finite after epoch {epoch}: lower learning_rate"
        )
    return tensor.clone()


def _summary(row: dict[str, float], state: _Progress) -> str:
    now, best = state.curves[-1][f"valid/{MONITOR}"], state.valid[MONITOR]
    return (
        f"loss {row['loss']:.4f}, valid R@20 {now:.4f}, best {best:.4f} at epoch {state.best_epoch}"
    )


class _Batches:
    """Shuffled training pairs with fresh negatives, in consecutive batches, on the device."""

    def __init__(self, dataset, training: TrainingConfig, seed: int, device: torch.device) -> None:
        self.pairs = torch.from_numpy(dataset.train.copy()).to(device)
        self.batch_size = training.batch_size
        self.sampler = NegativeSampler.of(dataset, training.negatives, device)
        self.generator = generator(seed, "batches", device)

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def epoch(self):
        """Yields users, positives, negatives: int64 [batch] each."""
        order = torch.randperm(len(self.pairs), generator=self.generator, device=self.pairs.device)
        users, positives = self.pairs[order].T.contiguous()
        negatives = self.sampler.draw(users, self.generator)
        yield from zip(
            *(part.split(self.batch_size) for part in (users, positives, negatives)), strict=True
        )

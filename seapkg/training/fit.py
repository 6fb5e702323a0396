"""The training loop: batches, early stopping on valid Recall@20, one look at the test set."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.device import (
    choose_device,
    describe_device,
    explained,
    forget_peak_memory,
    peak_memory_mb,
    precision_context,
)
from seapkg.models.base import Recommender
from seapkg.seeds import generator
from seapkg.training.batches import Batches
from seapkg.training.checkpoint import (
    Checkpoint,
    flatten,
    load_optimiser_state,
    optimiser_state,
    part,
)
from seapkg.training.config import TrainingConfig
from seapkg.training.divergence import check_losses, copy_of_state, remedy_for
from seapkg.training.early_stopping import EarlyStopping
from seapkg.training.evaluate import Ranking, evaluate_ranking
from seapkg.training.progress import Progress


@dataclass(frozen=True)
class Fit:
    """The result of a training.

    Attributes:
        curves: a row an epoch: epoch, seconds, loss, loss/TERM (means over batches), valid/METRIC.
        best_epoch: counted from 0; -1 where nothing was trained.
        epochs: number of epochs.
        valid, test: metrics at the best epoch.
        per_user: "users" int64 [n], and each metric on the test split, float32 [n].
        seconds_total: of the whole training.
        seconds_per_epoch: median over epochs, without evaluation.
        peak_memory_mb: of the process, or of the device's allocations on CUDA.
        device: its description.
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


def fit(
    model: Recommender,
    dataset: Dataset,
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
        model: built from `dataset`.
        dataset: its training pairs, and its valid and test pairs for evaluation.
        training: options of the training; by default the model's.
        seed: decides the order of pairs, the negatives and the draws of the model.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "exact" float32, or "fast" (TF32 on CUDA, bfloat16 on the CPU).
        progress: show progress on stderr.
        checkpoint: saves the state between epochs. A killed training resumes from it and ends with
            the same metrics, exactly so on a CPU with the same number of threads.

    Raises:
        TrainingFault: a loss term or a parameter is not finite.
        OutOfMemory: with the option to lower.
        BrokenFile: the checkpoint belongs to another training.
    """
    training = training or TrainingConfig(**model.training_options(model.config))
    target = choose_device(device)
    forget_peak_memory(target)
    started = time.perf_counter()
    with precision_context(precision), explained("training and evaluating", "lower embed_dim"):
        model.to(target).train()
        best, seconds_before = EarlyStopping(training.patience), 0.0
        parameters = model.main_parameters()
        if training.max_epochs and parameters:
            loop = _Loop(model, dataset, training, seed, target, parameters)
            best, seconds_before = loop.run(checkpoint, progress), loop.seconds_before
        if best.state:
            model.load_state_dict(best.state)
        model.eval()
        test = evaluate_ranking(model, Ranking(dataset, "test", device=target))
        valid = best.valid
        if not valid:
            valid = evaluate_ranking(model, Ranking(dataset, "valid", device=target)).mean
    seconds = [row["seconds"] for row in best.curves]
    return Fit(
        curves=best.curves,
        best_epoch=best.best_epoch,
        epochs=len(best.curves),
        valid=valid,
        test=test.mean,
        per_user={"users": test.users, **test.per_user},
        seconds_total=time.perf_counter() - started + seconds_before,
        seconds_per_epoch=statistics.median(seconds) if seconds else 0.0,
        peak_memory_mb=peak_memory_mb(target),
        device=describe_device(target),
    )


class _Loop:
    """The epochs of one training. A checkpoint holds everything an epoch leaves to the next one."""

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        training: TrainingConfig,
        seed: int,
        device: torch.device,
        parameters: list[torch.nn.Parameter],
    ) -> None:
        self.model, self.dataset, self.training, self.device = model, dataset, training, device
        self.optimiser = model.optimiser(parameters, training.learning_rate, training.weight_decay)
        self.batches = Batches(dataset, training, seed, device)
        self.generator = generator(seed, "model", device)
        self.best = EarlyStopping(training.patience)
        self.terms: list[str] = []  # names of the loss terms
        self.started, self.seconds_before = time.perf_counter(), 0.0

    def run(self, checkpoint: Checkpoint | None, show_progress: bool) -> EarlyStopping:
        """Trains until early stopping or the last epoch."""
        if checkpoint is not None:
            self._resume(checkpoint)
        if not self.best.curves:
            self.model.before_training(self.generator)
        valid = Ranking(self.dataset, "valid", device=self.device)
        n_batches, best = len(self.batches), self.best
        with Progress(show_progress, n_batches * len(best.curves)) as progress:
            for epoch in range(len(best.curves), self.training.max_epochs):
                if epoch > best.last_epoch:
                    break
                last = min(self.training.max_epochs, best.last_epoch + 1)
                progress.begin_epoch(epoch, n_batches * last)
                row = self._train_epoch(epoch, progress)
                self._evaluate(row, valid)
                progress.end_epoch(best)
                if checkpoint is not None and checkpoint.is_due():
                    checkpoint.save(self._tensors(), self._facts(), self.device.type)
        return best

    def _train_epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        """One pass over the training pairs. Returns the epoch's row of the curves."""
        remedy = f"lower batch_size, which is {self.training.batch_size}, or embed_dim"
        with explained("a training step", remedy):
            started = time.perf_counter()
            self._set_learning_rate(epoch)
            self.model.begin_epoch(self.generator, epoch)
            history = []
            for batch in self.batches.epoch():
                terms = self._step(*batch)
                history.append(torch.stack([term.detach() for term in terms.values()]))
                progress.batch()
            values = torch.stack(history).double().cpu()  # [n_batches, n_terms]
            self.terms = list(terms)
            check_losses(values, self.terms, epoch, self._remedy)
            means = dict(zip(self.terms, values.mean(dim=0).tolist(), strict=True))
            seconds = time.perf_counter() - started
        losses = {f"loss/{name}": mean for name, mean in means.items()}
        return {"epoch": epoch, "seconds": seconds, "loss": sum(means.values()), **losses}

    def _step(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """One step of the optimisers on a batch, int64 [batch]. Returns the loss terms."""
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.model.losses(users, positives, negatives)
        sum(terms.values()).backward()
        self.model.fit_auxiliary()
        self.optimiser.step()
        return terms

    def _set_learning_rate(self, epoch: int) -> None:
        rate = self.model.learning_rate(self.training.learning_rate, epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _evaluate(self, row: dict[str, float], valid: Ranking) -> None:
        if self.best.record(row, evaluate_ranking(self.model, valid)):
            self.best.state = copy_of_state(self.model, row["epoch"], self._remedy)

    def _remedy(self) -> str:
        return remedy_for(self.model, self.dataset, self.terms)

    def _tensors(self) -> dict[str, Tensor]:
        optimisers = {name: optimiser_state(own) for name, own in self._optimisers().items()}
        generators = {name: own.get_state() for name, own in self._generators().items()}
        model, best = self.model.state_dict(), self.best.state
        parts = {"model": model, "best": best, "optimiser": optimisers, "generator": generators}
        return flatten(parts)

    def _facts(self) -> dict[str, Any]:
        best = self.best
        seconds = self.seconds_before + time.perf_counter() - self.started
        facts = {"curves": best.curves, "best_epoch": best.best_epoch, "valid": best.valid}
        return facts | {"seconds": seconds}

    def _resume(self, checkpoint: Checkpoint) -> None:
        saved = checkpoint.load(self.device.type)
        if saved is None:
            return
        try:
            self._restore(*saved)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise checkpoint.misfit(error) from error

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.model.load_state_dict(part("model", tensors))
        for name, optimiser in self._optimisers().items():
            load_optimiser_state(optimiser, part(f"optimiser/{name}", tensors))
        for name, own in self._generators().items():
            own.set_state(tensors[f"generator/{name}"])
        self.seconds_before = facts.pop("seconds")
        self.best = EarlyStopping(self.training.patience, **facts, state=part("best", tensors))

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"main": self.optimiser, **self.model.auxiliary_optimisers()}

    def _generators(self) -> dict[str, torch.Generator]:
        return {"batches": self.batches.generator, "model": self.generator}

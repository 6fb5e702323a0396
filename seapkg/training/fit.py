"""The training loop: batches, early stopping on valid Recall@20, one look at the test set."""

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
from seapkg.errors import BrokenFile
from seapkg.models.base import Recommender
from seapkg.seeds import generator
from seapkg.training.batches import Batches
from seapkg.training.checkpoint import Checkpoint
from seapkg.training.config import TrainingConfig
from seapkg.training.divergence import check_epoch
from seapkg.training.early_stopping import EarlyStopping
from seapkg.training.evaluate import Metrics, Ranking, evaluate_ranking
from seapkg.training.limits import Limits
from seapkg.training.progress import Progress

#: What is said of a closed test split.
NOTHING = Metrics({}, np.empty(0, np.int64), {})


@dataclass(frozen=True)
class Fit:
    """The result of a training.

    Attributes:
        curves: one row per epoch: epoch, seconds, loss, loss/TERM (means over batches),
            valid/METRIC.
        best_epoch: counted from 0; -1 where nothing was trained.
        epochs: number of epochs.
        valid, test: metrics at the best epoch; `test` is {} where the test split is closed.
        stopped: "patience", "epochs", or the limit that was reached; "" where nothing was trained.
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
    stopped: str
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
    limits: Limits | None = None,
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
        limits: end the training earlier.

    Raises:
        TrainingFault: a loss term or a parameter is not finite.
        OutOfMemory: with the option to lower.
        BrokenFile: the checkpoint does not fit the model.
    """
    training = training or TrainingConfig(**model.training_options(model.config))
    target = choose_device(device)
    forget_peak_memory(target)
    best, started, stopped = EarlyStopping(training.patience), time.perf_counter(), ""
    with precision_context(precision), explained("training and evaluating", "lower embed_dim"):
        model.to(target)
        if training.max_epochs and model.main_parameters():
            loop = _Loop(model, dataset, training, seed, target)
            stopped = loop.run(checkpoint, Progress(progress), limits or Limits())
            best, started = loop.best, loop.started
            model.load_state_dict(best.state)
        test = NOTHING
        if len(dataset.test):
            test = evaluate_ranking(model, Ranking(dataset, "test", device=target))
        if not best.curves:
            best.valid = evaluate_ranking(model, Ranking(dataset, "valid", device=target)).mean
    return Fit(
        curves=best.curves,
        best_epoch=best.best_epoch,
        epochs=len(best.curves),
        valid=best.valid,
        test=test.mean,
        stopped=stopped,
        per_user={"users": test.users, **test.per_user},
        seconds_total=time.perf_counter() - started,
        seconds_per_epoch=statistics.median([row["seconds"] for row in best.curves] or [0.0]),
        peak_memory_mb=peak_memory_mb(target),
        device=describe_device(target),
    )


class _Loop:
    """The epochs of one training.

    Attributes:
        best: the curves and the best epoch.
        started: when training started, earlier processes included.
    """

    def __init__(
        self,
        model: Recommender,
        dataset: Dataset,
        training: TrainingConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.started = time.perf_counter()
        self.model, self.dataset, self.training, self.device = model, dataset, training, device
        self.batches = Batches(dataset, training, seed, device)
        self.generator = generator(seed, "model", device)
        self.generators = {"batches": self.batches.generator, "model": self.generator}
        self.optimiser = model.optimiser(
            model.main_parameters(), training.learning_rate, training.weight_decay
        )
        self.base_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.optimisers = {"main": self.optimiser, **model.auxiliary_optimisers()}
        self.valid = Ranking(dataset, "valid", device=device)
        self.best = EarlyStopping(training.patience)

    def run(self, checkpoint: Checkpoint | None, progress: Progress, limits: Limits) -> str:
        """Trains until a limit, early stopping or the last epoch. Returns which of them it was."""
        began = time.process_time()
        if checkpoint:
            self._resume(checkpoint)
        best = self.best
        if not best.curves:
            self.model.before_training(self.generator)
        while len(best.curves) < self.training.max_epochs and not best.is_over():
            losses = self._train_epoch(len(best.curves), progress)
            valid = evaluate_ranking(self.model, self.valid)
            if best.record(losses, valid.mean):
                state = self.model.state_dict()
                best.state = {name: tensor.clone() for name, tensor in state.items()}
            progress.end_epoch(best)
            if checkpoint and checkpoint.is_due():
                checkpoint.save(self._state(), self.device.type)
            limit = limits.reached(best, time.process_time() - began)
            if limit and not best.is_over():
                return limit
        return "patience" if best.is_over() else "epochs"

    def _train_epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        """One pass over the training pairs. Returns the losses for the curves."""
        remedy = f"lower batch_size, which is {self.training.batch_size}, or embed_dim"
        with explained("a training step", remedy):
            started = time.perf_counter()
            self.model.train()
            self._set_learning_rate(epoch)
            self.model.begin_epoch(self.generator, epoch)
            history = []
            for batch in progress.epoch(self.batches, epoch):
                terms = self._step(*batch)
                history.append(torch.stack([term.detach() for term in terms.values()]))
            values = torch.stack(history).double().cpu()  # [n_batches, n_terms]
            seconds = time.perf_counter() - started
        check_epoch(self.model, self.dataset, values, list(terms), epoch)
        means = values.mean(dim=0).tolist()
        by_term = {f"loss/{name}": mean for name, mean in zip(terms, means, strict=True)}
        return {"epoch": epoch, "seconds": seconds, "loss": sum(means), **by_term}

    def _step(self, users: Tensor, positives: Tensor, negatives: Tensor) -> dict[str, Tensor]:
        """One step of the optimisers on a batch, int64 [batch]. Returns the loss terms."""
        self.model.before_batch(users, positives, negatives)
        self.optimiser.zero_grad(set_to_none=True)
        terms = self.model.losses(users, positives, negatives)
        sum(terms.values()).backward()
        self.model.fit_auxiliary()
        self.optimiser.step()
        return terms

    def _set_learning_rate(self, epoch: int) -> None:
        for group, base in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = self.model.learning_rate(base, epoch)

    def _state(self) -> dict[str, Any]:
        """All that the next epoch depends on."""
        optimisers = {name: each.state_dict() for name, each in self.optimisers.items()}
        generators = {name: each.get_state() for name, each in self.generators.items()}
        return {
            "model": self.model.state_dict(),
            "optimisers": optimisers,
            "generators": generators,
            "best": vars(self.best),
            "seconds": time.perf_counter() - self.started,
        }

    def _resume(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.load(self.device.type)
        if state is None:
            return
        try:
            self.model.load_state_dict(state["model"])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise BrokenFile(
                f"{checkpoint.path} does not fit the model ({error}); delete it and train again"
            ) from error
        for name, each in self.generators.items():
            each.set_state(state["generators"][name])
        self.best = EarlyStopping(**state["best"])
        self.started -= state["seconds"]

"""Searches the options of a system on the validation split, with Optuna.

Trial 0 is the best-known setting, the others come from TPE. The search ranges are the options' own
(`python -m seapkg models`); an option without one keeps its value. The test split stays closed.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState

from seapkg.data import Dataset
from seapkg.errors import RequestError, SeapkgError, TrainingFault
from seapkg.files import locked
from seapkg.models import find
from seapkg.options import Described, Range, describe_options
from seapkg.runs.configure import configure
from seapkg.runs.spec import plain, results_version
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, built, plan
from seapkg.runs.tuned import tuned
from seapkg.runs.workers import Cluster, Processes
from seapkg.runs.workers import workers as make_workers
from seapkg.training import TrainingConfig, fit
from seapkg.training.early_stopping import MONITOR
from seapkg.training.fit import Fit
from seapkg.training.limits import PRUNED, Limits

MOST_OPTIONS = 4
#: The first trials of a search are not pruned, nor the first epochs of any trial.
UNPRUNED_TRIALS, UNPRUNED_EPOCHS = 3, 20
#: TPE draws at random until it has seen this many trials.
RANDOM_TRIALS = 3
FAILED = "failed"


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        model: the system's name.
        data: the dataset.
        options: held at these values; they may name the formulation.
        seconds: of processor time, after which a trial is cut and counts as it stands.
        seed: of every training.
    """

    model: str
    data: Dataset
    options: Mapping[str, Any]
    seconds: float = 300.0
    seed: int = 0

    @property
    def label(self) -> str:
        """The row of the main table, such as "sea (paper)"."""
        config, _ = configure(self.model, dict(self.options))
        has_rows = bool(find(self.model).formulations)
        return f"{self.model} ({config.formulation})" if has_rows else self.model

    @property
    def best_known(self) -> dict[str, Any]:
        """The options of trial 0: those held, and those of `tuned.yaml`."""
        return tuned(self.data.name, self.label) | dict(self.options)

    @property
    def held(self) -> dict[str, Any]:
        """`options` with values of their types."""
        config, training = configure(self.model, dict(self.options))
        values = {**vars(training), **vars(config)}
        return {name: values[name] for name in self.options}

    def space(self) -> dict[str, Described]:
        """The options that are searched, those of training first; {} where nothing can be."""
        model = find(self.model).model
        is_trained = model.training_defaults.get("max_epochs") != 0
        known = [*describe_options(TrainingConfig)] if is_trained else []
        known += describe_options(model.config_class)
        chosen = [each for each in known if each.search and each.name not in self.options]
        return {each.name: each for each in chosen[:MOST_OPTIONS]}

    def plan(self, options: Mapping[str, Any]) -> Plan:
        """The training of a trial, which cannot read the test split."""
        held = self.best_known | dict(options)
        return plan(self.model, self.data.without_test(), seed=self.seed, **held)

    def key(self) -> str:
        """Names the search; two searches with the same key continue each other."""
        facts = [self.data.fingerprint, self.held, self.seconds, self.seed]
        text = json.dumps(plain([*facts, results_version(self.model)]), sort_keys=True)
        return f"{self.model}-{self.data.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: 0 is the best-known setting.
        options: those that are searched, with their values.
        valid: its best valid Recall@20; None where training failed.
        best_epoch, epochs: as in a `Fit`.
        stopped: "patience", "epochs", "time", "pruned" or "failed"; "" where nothing is trained.
        seconds: how long it took.
    """

    number: int
    options: dict[str, Any]
    valid: float | None
    best_epoch: int
    epochs: int
    stopped: str
    seconds: float


def search(
    what: Search, store: Store, n_trials: int, *, workers: int = 1, scheduler: str | None = None
) -> list[Trial]:
    """Carries out trials until there are `n_trials`, and returns all of them.

    A killed search continues: finished trials stay, unfinished ones are started again.

    Args:
        what: the search.
        store: its folder holds the trials; a second process waits for the first one.
        n_trials: how many trials the search has at its end; one where nothing can be searched.
        workers: how many processes train at a time. With several, a trial knows only those that
            were finished when it began, so other options may be tried than with one.
        scheduler: the address of a Dask cluster, which then trains instead.

    Raises:
        RequestError: `n_trials` is below 1, or no time is given.
    """
    if n_trials < 1 or what.seconds <= 0:
        raise RequestError("a search needs at least one trial, and time for it")
    store.prepare()
    space = what.space()
    n_trials = n_trials if space else 1
    with locked(store.root / f".lock-{what.key()}"):
        study = _Study(what, space, store.root / f".search-{what.key()}.jsonl")
        study.start()
        with make_workers(min(workers, n_trials), scheduler) as team:
            with ThreadPoolExecutor(max(1, min(team.running(), n_trials))) as threads:
                turns = [threads.submit(_turn, study, team, n_trials) for _ in range(n_trials)]
                try:
                    for turn in turns:
                        turn.result()
                except BaseException:
                    study.is_interrupted = True
                    threads.shutdown(wait=False, cancel_futures=True)
                    team.close()
                    raise
        return study.trials()


def best(trials: list[Trial]) -> Trial:
    """The trial with the highest valid Recall@20, the first of several.

    Raises:
        TrainingFault: every trial failed.
    """
    if all(trial.valid is None for trial in trials):
        raise TrainingFault("every trial failed; search smaller learning rates")
    return max(trials, key=lambda trial: (trial.valid or 0, -trial.number))


def attempt(planned: Plan, limits: Limits) -> Fit:
    """Trains the plan of a trial and returns its `Fit`; stores nothing."""
    model = built(planned)
    how = {"seed": planned.spec.seed, "precision": planned.spec.precision, "limits": limits}
    return fit(model, planned.dataset, planned.training, progress=False, **how)


def _turn(study: _Study, team: Processes | Cluster, n_trials: int) -> None:
    """One trial, if the search still needs it."""
    asked = study.ask(n_trials)
    if asked is None:
        return
    trial, options, limits = asked
    try:
        result = team.call(attempt, study.what.plan(options), limits)
    except SeapkgError:  # a fault of this trial, or its worker died; the others go on
        if study.is_interrupted:
            raise
        result = None
    study.tell(trial, result)


class _Study:
    """An Optuna study in a file, one caller at a time."""

    def __init__(self, what: Search, space: Mapping[str, Described], path: Path) -> None:
        self.what, self.space, self._lock = what, space, Lock()
        self.is_interrupted = False
        with _quiet():
            storage = JournalStorage(JournalFileBackend(str(path)))
            self._study = optuna.create_study(
                storage=storage, study_name=what.key(), direction="maximize", load_if_exists=True
            )

    def start(self) -> None:
        """Queues the best-known setting of a new search, or the trials that a kill interrupted."""
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if "trial" in trial.user_attrs:  # killed between its two records
                self._close(trial.number, trial.user_attrs["trial"])
            else:
                self._study.tell(trial.number, state=TrialState.FAIL)
                self._study.enqueue_trial(trial.params)
        if not self._study.get_trials(deepcopy=False):
            known = self.what.plan({})
            values = {**plain(known.training), **plain(known.config)}
            first = {name: values[name] for name in self.space}
            self._study.set_user_attr("best-known", first)
            self._study.enqueue_trial(first)

    def ask(self, n_trials: int) -> tuple[optuna.Trial, dict[str, Any], Limits] | None:
        """The next trial with its options and limits; None if there are enough."""
        with self._lock:
            running = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
            number = len(self.trials()) + len(running)
            if number >= n_trials:
                return None
            # a seed for each trial: a search that was killed goes on as if it had not been
            self._study.sampler = optuna.samplers.TPESampler(
                seed=number, n_startup_trials=RANDOM_TRIALS, constant_liar=True
            )
            trial = self._study.ask()
            first = self._study.user_attrs["best-known"]
            options = {name: suggest(trial, each, first[name]) for name, each in self.space.items()}
            return trial, options, Limits(self.what.seconds, self._bar())

    def tell(self, trial: optuna.Trial, result: Fit | None) -> None:
        """Records the result of a trial; None where its training failed."""
        with self._lock, _quiet():
            facts = {"stopped": FAILED}
            if result is not None:
                for epoch, row in enumerate(result.curves):
                    trial.report(row[f"valid/{MONITOR}"], epoch)
                facts = {"stopped": result.stopped, "valid": result.valid[MONITOR]}
                facts |= {"best_epoch": result.best_epoch, "epochs": result.epochs}
            trial.set_user_attr("trial", facts)
            self._close(trial.number, facts)

    def _close(self, number: int, facts: Mapping[str, Any]) -> None:
        """Tells Optuna how a trial ended."""
        states = {PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
        if facts["stopped"] in states:
            self._study.tell(number, state=states[facts["stopped"]])
        else:
            self._study.tell(number, facts["valid"])

    def trials(self) -> list[Trial]:
        """The finished trials in the order of their start."""
        found = self._study.get_trials(deepcopy=False)
        done = [each for each in found if "trial" in each.user_attrs and each.duration]
        return [self._trial(number, each) for number, each in enumerate(done)]

    def _trial(self, number: int, found: optuna.trial.FrozenTrial) -> Trial:
        facts = {"valid": None, "best_epoch": -1, "epochs": 0, **found.user_attrs["trial"]}
        options = {name: _rounded(value) for name, value in found.params.items()}
        return Trial(number, options, seconds=found.duration.total_seconds(), **facts)

    def _bar(self) -> tuple[float | None, ...]:
        """The median valid Recall@20 of the complete trials at each epoch, as Optuna's pruner."""
        complete = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        curves = [each.intermediate_values for each in complete if each.intermediate_values]
        if len(curves) < UNPRUNED_TRIALS:
            return ()
        longest = max(map(len, curves))
        medians = [
            statistics.median(curve[epoch] for curve in curves if epoch in curve)
            for epoch in range(longest)
        ]
        return (None,) * UNPRUNED_EPOCHS + tuple(medians[UNPRUNED_EPOCHS:])


def suggest(trial: optuna.Trial, option: Described, known: Any) -> Any:
    """A value of an option from its search range, which is widened to hold the known value."""
    if isinstance(option.search, Range):
        low, high = min(option.search.low, known), max(option.search.high, known)
        return _rounded(trial.suggest_float(option.name, low, high, log=option.search.log))
    choices = list(option.search)
    return trial.suggest_categorical(option.name, choices + [known] * (known not in choices))


def _rounded(value: Any) -> Any:
    """A number with three digits, as it is trained and printed."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna says nothing but warnings."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)

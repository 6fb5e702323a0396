"""Returns runs: reads finished ones from the store, trains and stores missing ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seapkg.data import Dataset, load
from seapkg.data.catalogue import Known, load_or_known
from seapkg.device import explained
from seapkg.errors import FailedRun, MissingRun, SeapkgError, TrainingFault
from seapkg.models import build
from seapkg.models.base import Recommender
from seapkg.runs import archive
from seapkg.runs.configure import configure
from seapkg.runs.run import Run
from seapkg.runs.spec import RunSpec
from seapkg.runs.store import Store
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Plan:
    """A run to train: its spec, and the data and configurations that training needs."""

    spec: RunSpec
    dataset: Dataset | Known
    config: Any
    training: TrainingConfig


def plan(
    model: str,
    data: Dataset | Known | str | Path,
    *,
    seed: int = 0,
    precision: str = "exact",
    **options: Any,
) -> Plan:
    """Resolves all options and reads the data; trains nothing.

    If the files of a public dataset are missing, the plan still finds its finished runs.
    """
    config, training = configure(model, options)
    dataset = data if isinstance(data, Dataset | Known) else load_or_known(data)
    spec = RunSpec(model, config, training, dataset.name, dataset.fingerprint, seed, precision)
    return Plan(spec, dataset, config, training)


def train(
    model: str,
    data: Dataset | str | Path,
    *,
    seed: int = 0,
    store: Store | str | Path | None = None,
    device: str = "auto",
    precision: str = "exact",
    progress: bool = True,
    offline: bool = False,
    retry: bool = False,
    **options: Any,
) -> Run:
    """The run of `model` on `data`: read from the store, else trained and stored.

    The key of a run depends on the model, the data, the seed, the precision and the options.

    Args:
        model: the system's name.
        data: a `Dataset`, a dataset's name or a folder.
        seed: of parameters, batches and negatives.
        store: a `Store`, or its folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "exact" or "fast".
        progress: show progress on stderr.
        offline: train nothing; a missing run is an error.
        retry: train a run that failed before.
        options: of the model or of its training, such as `embed_dim=32` or `max_epochs=5`.
    """
    store = store if isinstance(store, Store) else Store(store)
    planned = plan(model, data, seed=seed, precision=precision, **options)
    how = {"device": device, "progress": progress}
    return get_or_train(planned, store, offline=offline, retry=retry, **how)


def get_or_train(
    planned: Plan, store: Store, *, offline: bool = False, retry: bool = False, **how: Any
) -> Run:
    """The run of a plan: read from the store, else trained and stored.

    Args:
        planned: the run.
        store: where it is read and written.
        offline: train nothing.
        retry: train a run that failed before.
        how: device and progress, as in `train_files`.

    Raises:
        FailedRun: it failed before, and `retry` is not set.
        MissingRun: `offline` is set, and it is not in the store.
    """
    spec = planned.spec
    run = store.find(spec)
    if run is not None:
        return run
    reason = store.failure(spec)
    if reason and not retry:
        raise FailedRun(f"{spec.name} failed before: {reason}; retry=True tries it again")
    if offline:
        raise MissingRun(
            f"offline, and {spec.name} (seed {spec.seed}) is not in {store.root}; train it first"
        )
    return carry_out(planned, store, **how)


def train_files(
    planned: Plan, checkpoint: Checkpoint | None, *, device: str = "auto", progress: bool = True
) -> dict[str, bytes]:
    """Trains a plan and returns the files of its run by name; stores nothing but the checkpoint.

    Args:
        planned: the run.
        checkpoint: of its training, if it is to resume.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: show progress on stderr.
    """
    spec, dataset = planned.spec, planned.dataset
    model = built(planned)
    result = fit(
        model,
        dataset,
        planned.training,
        seed=spec.seed,
        device=device,
        precision=spec.precision,
        progress=progress,
        checkpoint=checkpoint,
    )
    return archive.pack(spec, result, model=model, dataset=dataset)


def built(planned: Plan) -> Recommender:
    """The untrained model of a plan; raises OutOfMemory with the options to lower."""
    spec = planned.spec
    remedy = "lower embed_dim or n_neighbours, or use fewer modalities"
    with explained(f"building {spec.model}", remedy):
        return build(spec.model, planned.dataset, planned.config, spec.seed)


def carry_out(
    planned: Plan,
    store: Store,
    *,
    trainer: Callable[..., dict[str, bytes]] = train_files,
    **how: Any,
) -> Run:
    """Trains a plan and stores its run; after an interrupt, resumes from the last checkpoint.

    If another process trains the same run, waits for it, then reads the run.

    Args:
        planned: the run; also one that failed before.
        store: where it is written.
        trainer: trains, for example in a worker process; has the signature of `train_files`.
        how: device and progress, as in `train_files`.

    Raises:
        TrainingFault: training cannot continue; the run is marked as failed.
        OutOfMemory: names the option to lower.
        SeapkgError: the finished run cannot be written.
    """
    if isinstance(planned.dataset, Known):
        load(planned.dataset.name)  # raises DataNotFound, which lists the folders searched
    spec = planned.spec
    store.prepare()
    with store.locked(spec):
        run = Store(store.root).find(spec)  # a committed summary has no model
        if run is not None:
            return run
        checkpoint = store.checkpoint(spec)
        try:
            files = trainer(planned, checkpoint, **how)
        except TrainingFault as fault:
            checkpoint.remove()
            store.mark_failed(spec, str(fault))
            raise
        try:
            run = store.save(spec, files)
        except OSError as error:
            raise SeapkgError(
                f"the run {spec.name} cannot be written to {store.root} ({error.strerror}); make "
                "room and repeat the command, which continues from the last checkpoint"
            ) from error
        checkpoint.remove()
        return run

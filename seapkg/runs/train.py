"""Ask for a run: a finished one is read from the store, a missing one is trained and kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seapkg.data import Dataset, load
from seapkg.data.catalogue import Known, load_or_known
from seapkg.errors import FailedRun, MissingRun, SeapkgError, TrainingFault
from seapkg.memory import explained
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.runs.run import Run
from seapkg.runs.spec import RunSpec
from seapkg.runs.store import Store
from seapkg.training import TrainingConfig, fit


@dataclass(frozen=True)
class Plan:
    """A run that could be trained: its spec, and what it takes to train it."""

    spec: RunSpec
    dataset: Dataset | Known
    config: Any
    training: TrainingConfig


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
    """The run of `model` on `data`, from the store where it is finished, else trained now and kept there.

    `data`: a `Dataset`, a built-in name or a folder. `options`: any of the model's or the training's,
    such as `embed_dim=32` or `max_epochs=5`. `device`, `progress` and the place of the store do not
    belong to what a run is. `offline=True` trains nothing: a missing run is a `RequestError`. A run that failed
    before is a `FailedRun`, at once, unless `retry=True` tries it again.
    """
    store = store if isinstance(store, Store) else Store(store)
    planned = plan(model, data, seed=seed, precision=precision, **options)
    if retry:
        store.forget_failure(planned.spec)
    return get_or_train(planned, store, device=device, progress=progress, offline=offline)


def get_or_train(
    planned: Plan,
    store: Store,
    *,
    device: str = "auto",
    progress: bool = True,
    offline: bool = False,
) -> Run:
    """The run of a plan: read where it is finished, else trained; with `offline`, a missing one is a MissingRun.

    One that failed before is a FailedRun, at once: `carry_out` tries it again.
    """
    run = store.find(planned.spec)
    if run is not None:
        return run
    if reason := store.failure(planned.spec):
        raise FailedRun(
            f"{planned.spec.name} failed before: {reason}; with retry=True it is tried again"
        )
    if offline:
        raise MissingRun(missing([planned.spec], store))
    return carry_out(planned, store, device=device, progress=progress)


def plan(
    model: str,
    data: Dataset | Known | str | Path,
    *,
    seed: int = 0,
    precision: str = "exact",
    **options: Any,
) -> Plan:
    """Resolves every option and reads the data; trains nothing.

    Data that is not here but known by name will do for looking up its finished runs.
    """
    config, training = configure(model, options)
    dataset = data if isinstance(data, Dataset | Known) else load_or_known(data)
    spec = RunSpec(model, config, training, dataset.name, dataset.fingerprint, seed, precision)
    return Plan(spec, dataset, config, training)


def carry_out(planned: Plan, store: Store, *, device: str = "auto", progress: bool = True) -> Run:
    """Trains the plan and keeps it. Interrupted, it leaves a checkpoint from which the next call goes on.

    While another process trains the same run it is waited for, and the run is read. Raises TrainingFault where training
    cannot go on, and marks the run as failed; OutOfMemory; SeapkgError where the finished run cannot be written.
    """
    if isinstance(planned.dataset, Known):
        load(planned.dataset.name)  # says where it looked
    store.prepare()
    with store.locked(planned.spec):
        return store.find(planned.spec, reference=False) or _train_and_keep(
            planned, store, device, progress
        )


def _train_and_keep(planned: Plan, store: Store, device: str, progress: bool) -> Run:
    spec = planned.spec
    with explained(
        f"building {spec.model}", "lower embed_dim or n_neighbours, or take fewer modalities"
    ):
        model = build(spec.model, planned.dataset, planned.config, spec.seed)
    checkpoint = store.checkpoint(spec)
    try:
        result = fit(
            model,
            planned.dataset,
            planned.training,
            seed=spec.seed,
            device=device,
            precision=spec.precision,
            progress=progress,
            checkpoint=checkpoint,
        )
    except TrainingFault as fault:
        checkpoint.remove()
        store.mark_failed(spec, str(fault))
        raise
    run = _kept(store, spec, result, model, planned.dataset)
    checkpoint.remove()
    return run


def _kept(store: Store, spec: RunSpec, result: Any, model: Any, dataset: Dataset) -> Run:
    try:
        return store.save(spec, result, model=model, dataset=dataset)
    except OSError as error:
        raise SeapkgError(
            f"{spec.name} was trained and cannot be written to {store.root} ({error.strerror}): make room and give the "
            "same command again, which goes on from the last checkpoint where there was room for one"
        ) from error


def missing(specs: list[RunSpec], store: Store) -> str:
    """The message that lists what an offline reader asked for and did not find."""
    lines = [f"  {spec.name} (seed {spec.seed})" for spec in specs]
    return "\n".join(
        [
            f"offline, and {len(specs)} run(s) are not in {store.root}:",
            *lines,
            "train without offline",
        ]
    )

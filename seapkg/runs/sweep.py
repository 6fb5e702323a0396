"""Trains many runs at once: workers train and return their files by value, this process stores."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out, train_files
from seapkg.runs.workers import Cluster, Processes
from seapkg.runs.workers import workers as make_workers
from seapkg.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that failed: its name and the reason."""

    run: str
    reason: str


def sweep(
    plans: Iterable[Plan],
    store: Store,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    progress: bool = True,
) -> list[Failure]:
    """Trains the runs that are neither in the store nor marked as failed there.

    If a run fails, the others continue. An interrupt ends the workers at once; the next call
    continues from their checkpoints, or on a cluster with the runs that were not finished.

    Args:
        plans: the runs; each key is trained once.
        store: where the runs are read and written.
        workers: how many processes train at a time.
        scheduler: the address of a Dask cluster, which then trains instead.
        progress: writes a line with the runs done, running and left to stderr.

    Returns:
        The failures, in the order in which they occurred.
    """
    todo = {plan.spec.key: plan for plan in plans if _is_missing(plan, store)}
    if not todo:
        return []
    failures = []
    with make_workers(min(workers, len(todo)), scheduler) as team:
        at_once = min(team.at_once, len(todo))
        with ThreadPoolExecutor(at_once) as threads:
            outcomes = [threads.submit(_outcome, plan, store, team) for plan in todo.values()]
            try:
                for done, outcome in enumerate(as_completed(outcomes), 1):
                    failure = outcome.result()
                    if failure:
                        failures.append(failure)
                    if progress:
                        _show(done, len(todo), team.running(), failure)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                team.close()
                raise
    return failures


def _outcome(plan: Plan, store: Store, team: Processes | Cluster) -> Failure | None:
    """Trains a run with an idle worker."""
    try:
        carry_out(plan, store, trainer=partial(_train, team), progress=False)
    except Exception as error:  # whatever goes wrong with one run, the others go on
        return Failure(plan.spec.name, str(error) or type(error).__name__)
    return None


def _train(
    team: Processes | Cluster, plan: Plan, checkpoint: Checkpoint, **how: Any
) -> dict[str, bytes]:
    """`train_files` with a worker; only a worker on this machine can keep a checkpoint."""
    return team.call(train_files, plan, checkpoint if team.is_here else None, **how)


def _is_missing(plan: Plan, store: Store) -> bool:
    return store.find(plan.spec) is None and store.failure(plan.spec) is None


def _show(done: int, total: int, running: int, failure: Failure | None) -> None:
    running = min(running, total - done)
    line = f"runs: {done} done, {running} running, {total - done - running} left"
    note = f"; {failure.run} failed: {failure.reason}" if failure else ""
    print(line + note, file=sys.stderr, flush=True)

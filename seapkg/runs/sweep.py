"""Trains many runs at once, in worker processes of one thread each.

A worker needs the package and the plan; it returns the files of the run by value, and the parent
stores them.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import SimpleQueue

import torch

from seapkg.device import keep_freed_memory
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out, train_files
from seapkg.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that failed: its name and the reason."""

    run: str
    reason: str


def sweep(
    plans: Iterable[Plan], store: Store, *, workers: int = 1, progress: bool = True
) -> list[Failure]:
    """Trains the runs that are neither in the store nor marked as failed there.

    A run that fails does so alone. An interrupt ends the workers; the next call continues from
    their checkpoints.

    Args:
        plans: the runs; each key is trained once.
        workers: how many processes train at a time.
        progress: writes a line with the runs done, running and left to stderr.

    Returns:
        The failures, in the order in which they occurred.
    """
    todo = _missing(plans, store)
    workers = max(1, min(workers, len(todo)))
    slots: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
    for _ in range(workers):
        slots.put(_new_worker())
    failures, others = [], set(multiprocessing.active_children())
    with ThreadPoolExecutor(workers) as threads:
        outcomes = [threads.submit(_train, plan, store, slots) for plan in todo]
        try:
            for done, outcome in enumerate(as_completed(outcomes), start=1):
                failure = outcome.result()
                failures += [failure] if failure else []
                if progress:
                    _show(done, len(todo), workers, failure)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise
    while not slots.empty():
        slots.get().shutdown()
    return failures


def _missing(plans: Iterable[Plan], store: Store) -> list[Plan]:
    by_key = {plan.spec.key: plan for plan in plans}
    return [
        plan
        for plan in by_key.values()
        if store.find(plan.spec) is None and store.failure(plan.spec) is None
    ]


def _new_worker() -> ProcessPoolExecutor:
    """A pool of one process: should that die, no other run is lost."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    torch.set_num_threads(1)
    keep_freed_memory()


def _train(plan: Plan, store: Store, slots: SimpleQueue[ProcessPoolExecutor]) -> Failure | None:
    """Trains a plan in the next free worker and stores its run; returns the failure, if any."""
    worker = slots.get()

    def in_worker(plan: Plan, checkpoint: Checkpoint) -> dict[str, bytes]:
        return worker.submit(train_files, plan, checkpoint, progress=False).result()

    try:
        carry_out(plan, store, trainer=in_worker)
    except BrokenProcessPool:
        worker = _new_worker()
        return Failure(plan.spec.name, "its process ended: was there too little memory?")
    except Exception as error:  # whatever goes wrong with one run, the others go on
        return Failure(plan.spec.name, str(error) or type(error).__name__)
    finally:
        slots.put(worker)
    return None


def _show(done: int, total: int, workers: int, failure: Failure | None) -> None:
    running = min(workers, total - done)
    line = f"runs: {done} done, {running} running, {total - done - running} left"
    note = f"; {failure.run} failed: {failure.reason}" if failure else ""
    print(line + note, file=sys.stderr, flush=True)

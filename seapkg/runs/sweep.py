"""Trains many runs at once, in worker processes of one thread each.

A worker needs the package and the plan; it returns the files of the run by value, and the parent
stores them.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch

from seapkg.device import keep_freed_memory
from seapkg.errors import SeapkgError
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out, train_files


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that failed: its name and the reason."""

    run: str
    reason: str


def sweep(
    plans: Iterable[Plan], store: Store, *, workers: int = 1, progress: bool = True
) -> list[Failure]:
    """Trains the runs that are neither in the store nor marked as failed there.

    If a run fails, the others continue. An interrupt ends the workers at once; the next call
    continues from their checkpoints.

    Args:
        plans: the runs; each key is trained once.
        store: where the runs are read and written.
        workers: how many processes train at a time.
        progress: writes a line with the runs done, running and left to stderr.

    Returns:
        The failures, in the order in which they occurred.
    """
    todo = {plan.spec.key: plan for plan in plans if _is_missing(plan, store)}
    workers = max(1, min(workers, len(todo)))
    team, idle, failures = [_Worker() for _ in range(workers)], SimpleQueue(), []
    for worker in team:
        idle.put(worker)
    with ThreadPoolExecutor(workers) as threads:
        outcomes = [threads.submit(_outcome, plan, store, idle) for plan in todo.values()]
        try:
            for done, outcome in enumerate(as_completed(outcomes), 1):
                failure = outcome.result()
                if failure:
                    failures.append(failure)
                if progress:
                    _show(done, len(todo), workers, failure)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in team:
                worker.lifeline.close()
    return failures


class _Worker:
    """A process that trains runs one after another; after its death, the next process."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        theirs, self.lifeline = context.Pipe(duplex=False)
        self.process = ProcessPoolExecutor(1, context, _prepare, (theirs,))

    def train(self, *arguments: Any, **options: Any) -> dict[str, bytes]:
        """Calls `train_files` in the process."""
        try:
            return self.process.submit(train_files, *arguments, **options).result()
        except BrokenProcessPool:
            self._start()
            raise SeapkgError("its process ended; was there too little memory?") from None


def _prepare(lifeline: Connection) -> None:
    """What a worker process does before it trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()


def _end_with_parent(lifeline: Connection) -> None:
    """Ends this process when the parent closes its end of the connection, or is killed."""
    lifeline.poll(None)
    os._exit(1)


def _outcome(plan: Plan, store: Store, idle: SimpleQueue) -> Failure | None:
    """Trains a run with an idle worker."""
    worker = idle.get()
    try:
        carry_out(plan, store, trainer=worker.train, progress=False)
    except Exception as error:  # whatever goes wrong with one run, the others go on
        return Failure(plan.spec.name, str(error) or type(error).__name__)
    finally:
        idle.put(worker)
    return None


def _is_missing(plan: Plan, store: Store) -> bool:
    return store.find(plan.spec) is None and store.failure(plan.spec) is None


def _show(done: int, total: int, workers: int, failure: Failure | None) -> None:
    running = min(workers, total - done)
    line = f"runs: {done} done, {running} running, {total - done - running} left"
    note = f"; {failure.run} failed: {failure.reason}" if failure else ""
    print(line + note, file=sys.stderr, flush=True)

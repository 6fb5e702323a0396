"""Trains many runs at once, in worker processes of one thread each.

A worker needs the package and the plan; it returns the files of the run by value, and the parent
stores them.
"""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
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
    todo = deque({plan.spec.key: plan for plan in plans if _is_missing(plan, store)}.values())
    total, outcomes = len(todo), SimpleQueue()
    team = [_Worker() for _ in range(min(max(1, workers), total))]
    threads = [Thread(target=_serve, args=(w, todo, store, outcomes), daemon=True) for w in team]
    failures = []
    try:
        for thread in threads:
            thread.start()
        for done in range(1, total + 1):
            failure = outcomes.get()
            if failure:
                failures.append(failure)
            if progress:
                _show(done, total, len(team), failure)
    finally:
        todo.clear()
        for worker in team:
            worker.process.terminate()
        for thread in threads:
            thread.join(timeout=1)  # it frees the lock of its run
    return failures


class _Worker:
    """A process that trains runs one after another; after its death, the next process."""

    def __init__(self) -> None:
        self._start()

    def train(self, *arguments: Any, **options: Any) -> dict[str, bytes]:
        """Calls `train_files` in the process."""
        if not self.process.is_alive():
            self._start()
        try:
            self.connection.send((arguments, options))
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise SeapkgError("its process ended; was there too little memory?") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()  # the connection then ends with the process


def _work(connection: Connection) -> None:
    """What a worker process does: trains what is sent, and returns the files or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    with suppress(EOFError, BrokenPipeError):  # the parent has ended
        while True:
            arguments, options = connection.recv()
            try:
                answer = train_files(*arguments, **options)
            except Exception as error:  # raised again in the parent
                answer = error
            connection.send(answer)


def _end_with_parent() -> None:
    """Ends this process when the parent is gone, killed or not."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _serve(
    worker: _Worker, todo: deque[Plan], store: Store, outcomes: SimpleQueue[Failure | None]
) -> None:
    """Trains runs with one worker until none is left."""
    with suppress(IndexError):
        while True:
            outcomes.put(_outcome(todo.popleft(), worker, store))


def _outcome(plan: Plan, worker: _Worker, store: Store) -> Failure | None:
    try:
        carry_out(plan, store, trainer=worker.train, progress=False)
    except Exception as error:  # whatever goes wrong with one run, the others go on
        return Failure(plan.spec.name, str(error) or type(error).__name__)
    return None


def _is_missing(plan: Plan, store: Store) -> bool:
    return store.find(plan.spec) is None and store.failure(plan.spec) is None


def _show(done: int, total: int, workers: int, failure: Failure | None) -> None:
    running = min(workers, total - done)
    line = f"runs: {done} done, {running} running, {total - done - running} left"
    note = f"; {failure.run} failed: {failure.reason}" if failure else ""
    print(line + note, file=sys.stderr, flush=True)

"""Trains many runs at once, in worker processes of one thread each.

A worker needs the package and the plan; it returns the files of the run by value, and the parent
stores them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue

from seapkg.device import keep_freed_memory
from seapkg.errors import SeapkgError
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out, train_files
from seapkg.training.checkpoint import Checkpoint

WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


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
        progress: writes a line with the numbers of runs that are done, running and left to stderr.

    Returns:
        The failures, in the order in which they occurred.
    """
    todo = _todo(plans, store)
    work = _Work(todo, store, _Progress(len(todo), progress))
    if not todo:
        return []
    with _environment(WORKER_ENVIRONMENT):
        trainers = [_Worker() for _ in range(min(workers, len(todo)))]
        threads = [threading.Thread(target=work.run, args=(one,), daemon=True) for one in trainers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            work.stop()
            for trainer in trainers:
                trainer.stop()
            for thread in threads:  # they release their locks
                thread.join(timeout=10)
            work.progress.end()
    return work.failures


def _todo(plans: Iterable[Plan], store: Store) -> list[Plan]:
    by_key = {plan.spec.key: plan for plan in plans}
    return [
        plan
        for plan in by_key.values()
        if store.find(plan.spec) is None and store.failure(plan.spec) is None
    ]


class _Work:
    """The queue of plans, which one thread per worker empties."""

    def __init__(self, plans: list[Plan], store: Store, progress: _Progress) -> None:
        self.store, self.progress = store, progress
        self.failures: list[Failure] = []
        self.queue: SimpleQueue[Plan] = SimpleQueue()
        self.stopped = False
        for plan in plans:
            self.queue.put(plan)

    def run(self, worker: _Worker) -> None:
        """Trains plan after plan with `worker`, until none is left."""
        while not self.stopped:
            try:
                plan = self.queue.get_nowait()
            except Empty:
                return
            self.progress.begin()
            failure = None
            try:
                carry_out(plan, self.store, trainer=worker.train)
            except Exception as error:  # one run's failure, of any kind, ends no other run
                failure = Failure(plan.spec.name, str(error) or type(error).__name__)
            if self.stopped:
                return
            if failure:
                self.failures.append(failure)
            self.progress.finish(failure)

    def stop(self) -> None:
        """Lets no thread begin another plan."""
        self.stopped = True


class _Worker:
    """A process that trains one plan after another; a new one replaces it where it dies."""

    def __init__(self) -> None:
        self.stopped = False
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def train(self, plan: Plan, checkpoint: Checkpoint) -> dict[str, bytes]:
        """Trains a plan in the process. Returns the files of its run by name."""
        try:
            self.connection.send((plan, checkpoint))
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            if not self.stopped:
                self._start()
            raise SeapkgError(f"the worker process ended with exit code {code}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self.stopped = True
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection) -> None:
    """The life of a worker process: receives a plan, trains it, sends its files or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    keep_freed_memory()
    while True:
        try:
            plan, checkpoint = connection.recv()
        except EOFError:
            return
        try:
            answer = train_files(plan, checkpoint, progress=False)
        except SeapkgError as error:
            answer = error
        except Exception as error:  # an error of any class may not survive the way back
            answer = SeapkgError(f"{type(error).__name__}: {error}")
        connection.send(answer)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes that start inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Progress:
    """One line on stderr: rewritten on a terminal, else a new one for every finished run."""

    def __init__(self, total: int, shown: bool) -> None:
        self.left, self.running, self.done, self.failed = total, 0, 0, 0
        self.shown, self.is_terminal = shown, sys.stderr.isatty()
        self.lock = threading.Lock()

    def begin(self) -> None:
        with self.lock:
            self.left, self.running = self.left - 1, self.running + 1
            if self.is_terminal:
                self._show()

    def finish(self, failure: Failure | None) -> None:
        with self.lock:
            self.running, self.done = self.running - 1, self.done + 1
            if failure:
                self.failed += 1
                self._write(f"\n{failure.run} failed: {failure.reason}\n")
            self._show()

    def end(self) -> None:
        if self.is_terminal:
            self._write("\n")

    def _show(self) -> None:
        failed = f" ({self.failed} failed)" if self.failed else ""
        line = f"runs: {self.done} done{failed}, {self.running} running, {self.left} left"
        self._write(f"\r{line}  " if self.is_terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        if self.shown:
            sys.stderr.write(text)
            sys.stderr.flush()

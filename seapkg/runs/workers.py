"""Workers: processes of this machine, or the workers of a Dask cluster.

A worker needs the package and what it is given; its result comes back by value.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch

from seapkg.device import keep_freed_memory
from seapkg.errors import RequestError, SeapkgError

#: A run whose worker died this many times on a cluster has failed: it may be what kills them.
MOST_DEATHS = 12
#: How many runs wait on a cluster at a time, however many workers it has.
MOST_WAITING = 128
_ENDED = "its process ended; was there too little memory?"


def workers(n: int = 1, scheduler: str | None = None) -> Processes | Cluster:
    """`n` processes of this machine, or the cluster whose scheduler has that address."""
    if n < 1:
        raise RequestError(f"there must be at least one worker; {n} were asked for")
    return Cluster(scheduler) if scheduler else Processes(n)


class Processes:
    """Processes of one thread each on this machine. As a context, waits for them at its end.

    Attributes:
        at_once: how many calls run at a time.
        is_here: whether the workers see this machine's files.
    """

    is_here = True

    def __init__(self, n: int) -> None:
        self.at_once = n
        self._team = [_Process() for _ in range(n)]
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        for process in self._team:
            self._idle.put(process)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        if error == (None, None, None):
            for process in self._team:
                process.pool.shutdown()
        self.close()

    def close(self) -> None:
        """Ends the processes at once, whatever they do."""
        for process in self._team:
            process.lifeline.close()
        for process in self._team:
            process.pool.shutdown(wait=False)

    def running(self) -> int:
        """How many processes there are."""
        return len(self._team)

    def call(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        """Calls `function` in an idle process; waits for one.

        Raises:
            SeapkgError: the process died.
        """
        process = self._idle.get()
        try:
            return process.call(function, *arguments, **options)
        finally:
            self._idle.put(process)


class _Process:
    """A process that carries out calls one after another; after its death, the next process."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        theirs, self.lifeline = context.Pipe(duplex=False)
        self.pool = ProcessPoolExecutor(1, context, _prepare, (theirs,))

    def call(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        try:
            return self.pool.submit(function, *arguments, **options).result()
        except BrokenProcessPool:
            self._start()
            raise SeapkgError(_ENDED) from None


def _prepare(lifeline: Connection) -> None:
    """What a worker process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()


def _end_with_parent(lifeline: Connection) -> None:
    """Ends this process when the parent closes its end of the connection, or is killed."""
    lifeline.poll(None)
    os._exit(1)


class Cluster:
    """The workers of a Dask cluster; the same attributes and methods as `Processes`.

    Dask gives a lost worker's calls to others. Its transport is pickle, between machines that
    trust each other.

    Args:
        scheduler: its address, such as "tcp://host:8786".

    Raises:
        RequestError: `distributed` is not installed, or no scheduler answers.
    """

    is_here = False
    at_once = MOST_WAITING

    def __init__(self, scheduler: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise RequestError("a cluster needs: pip install 'seapkg[cluster]'") from None
        try:
            self.client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise RequestError(f"no Dask scheduler answers at {scheduler} ({error})") from None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up what is running, and leaves the cluster."""
        self.client.close()

    def running(self) -> int:
        """How many threads the workers have at the moment."""
        return sum(self.client.nthreads().values())

    def call(self, function: Callable, *arguments: Any, **options: Any) -> Any:
        """Calls `function` on a worker; waits for a free one.

        Raises:
            SeapkgError: `MOST_DEATHS` workers died with it, or the scheduler was lost.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        deaths = 0
        while deaths < MOST_DEATHS:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sending large graph")
                future = self.client.submit(function, *arguments, **options, pure=False)
            try:
                return future.result()
            except FutureCancelledError:
                raise SeapkgError("the Dask scheduler was lost; start one and repeat") from None
            except KilledWorker as error:
                deaths += error.allowed_failures + 1
        raise SeapkgError(_ENDED)

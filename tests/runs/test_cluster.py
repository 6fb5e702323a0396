"""Runs on a Dask cluster come back by value, equal to serial ones, also when workers are killed."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster
from tiny import planted, tiny

from seapkg.errors import RequestError
from seapkg.runs.archive import STATE, USERS
from seapkg.runs.search import Search, search
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.runs.train import carry_out, plan


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options, silence_logs=50) as made:
        yield made


def kill_when_training(address, kills, stop):
    """Kills a worker that trains, as often as `kills` says; counts down."""
    with Client(address) as client:
        while kills[0] and not stop.is_set():
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy:
                time.sleep(0.5)  # it is in the middle of a run
                pids = client.run(os.getpid, workers=busy[:1], on_error="ignore")
                for pid in pids.values():
                    if isinstance(pid, int):
                        os.kill(pid, signal.SIGKILL)
                        kills[0] -= 1
            time.sleep(0.3)


@pytest.mark.slow
def test_a_killed_worker_s_runs_are_taken_up_by_others(cluster, tmp_path, capsys, one_thread):
    data = planted()
    options = {"max_epochs": 400, "patience": 400, "embed_dim": 8, "batch_size": 64}
    plans = [plan("bpr", data, seed=seed, **options) for seed in range(6)]
    wild = plan("bpr", data, learning_rate=1e30, max_epochs=20, embed_dim=8)
    far, serial = Store(tmp_path / "far"), Store(tmp_path / "serial")
    kills, stop = [2], threading.Event()
    address = cluster.scheduler_address
    killer = threading.Thread(target=kill_when_training, args=(address, kills, stop))
    killer.start()
    failures = sweep([wild, *plans], far, scheduler=address)
    stop.set()
    killer.join()
    assert kills == [0]
    assert [failure.run for failure in failures] == [wild.spec.name]
    for one in plans:
        run, again = far.find(one.spec), carry_out(one, serial, device="cpu", progress=False)
        assert (run.test, run.valid) == (again.test, again.valid)
        for name in (STATE, USERS):
            arrays, expected = run.arrays(name), again.arrays(name)
            assert all(np.array_equal(arrays[key], expected[key]) for key in expected)
    assert capsys.readouterr().err.splitlines()[-1].startswith("runs: 7 done, 0 running, 0 left")


@pytest.mark.slow
def test_a_search_on_a_cluster_finishes_every_trial(cluster, tmp_path):
    what = Search("bpr", tiny(), {"max_epochs": 2, "embed_dim": 8})
    trials = search(what, Store(tmp_path), 4, scheduler=cluster.scheduler_address)
    assert [(one.number, one.epochs) for one in trials] == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    planned = plan("bpr", tiny(), max_epochs=1)
    with pytest.raises(RequestError, match="no Dask scheduler.*tcp://127.0.0.1:9"):
        sweep([planned], Store(tmp_path), scheduler="tcp://127.0.0.1:9")

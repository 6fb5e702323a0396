"""A sweep gives the runs that training one after another gives; one run's failure is its own."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny import tiny

from seapkg.runs.archive import STATE, USERS
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.runs.train import carry_out, plan

FEW = {"max_epochs": 2, "embed_dim": 8}


class Deadly:
    """A dataset that ends the process which receives it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_two_workers_give_the_bits_of_a_serial_training_and_failures_stay_alone(
    tmp_path, capsys, one_thread
):
    data = tiny("image", "text")
    good = [plan("vbpr", data, seed=seed, **FEW) for seed in range(2)] + [plan("sea", data, **FEW)]
    wild = plan("bpr", data, learning_rate=1e30, max_epochs=20, embed_dim=8)
    deadly = dataclasses.replace(plan("bpr", data, seed=7, **FEW), dataset=Deadly())
    together, serial = Store(tmp_path / "together"), Store(tmp_path / "serial")
    failures = sweep([good[0], deadly, wild, *good], together, workers=2)
    reasons = {failure.run: failure.reason for failure in failures}
    assert set(reasons) == {wild.spec.name, deadly.spec.name}
    assert "learning_rate" in reasons[wild.spec.name] and "ended" in reasons[deadly.spec.name]
    assert list(together.failures()) == [wild.spec.name]
    assert [run.name for run in together.list()] == sorted(one.spec.name for one in good)
    for one in good:
        run, again = together.find(one.spec), carry_out(one, serial, device="cpu", progress=False)
        assert (run.test, run.valid) == (again.test, again.valid)
        assert run.curves.drop(columns="seconds").equals(again.curves.drop(columns="seconds"))
        for name in (STATE, USERS):
            arrays, expected = run.arrays(name), again.arrays(name)
            assert all(np.array_equal(arrays[key], expected[key]) for key in expected)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("runs: 5 done, 0 running, 0 left")


def test_nothing_is_started_where_nothing_is_missing(tmp_path, capsys):
    done = plan("bpr", tiny(), **FEW)
    failed = plan("bpr", tiny(), seed=1, **FEW)
    carry_out(done, Store(tmp_path), device="cpu", progress=False)
    Store(tmp_path).mark_failed(failed.spec, "the loss is not finite")
    assert sweep([done, failed], Store(tmp_path), workers=2) == []
    assert capsys.readouterr().err == ""


SCRIPT = """
import sys
from seapkg.runs.store import Store
from seapkg.runs.sweep import sweep
from seapkg.runs.train import plan
if __name__ == "__main__":
    options = {"max_epochs": 10**6, "patience": 10**6}
    plans = [plan("bpr", "synthetic", seed=seed, **options) for seed in range(3)]
    sweep(plans, Store(sys.argv[1]), workers=2)
"""


def living(group):
    """The processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True)
    rows = [row.split(maxsplit=2) for row in listed.stdout.splitlines()]
    return [row for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_workers_end_with_their_parent(end, tmp_path):
    script, store = tmp_path / "many.py", tmp_path / "store"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(script), str(store)],
        env=environment,
        start_new_session=True,
        # a job in the background ignores the signal unless it is told not to
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while len(list(store.glob(".lock-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)  # by now both workers train
    process.send_signal(end)
    process.communicate(timeout=30)  # returns when the last process has closed stderr
    deadline = time.monotonic() + 10
    while living(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living(process.pid) == [] and Store(store).list() == []
    assert end == signal.SIGKILL or not list(store.glob(".lock-*"))

"""Training is killed and started again: it goes on from its checkpoint and ends as if nothing had
been.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tiny import small, tiny

import seapkg
from seapkg.models import build
from seapkg.runs.store import Store
from seapkg.runs.train import plan
from seapkg.training import TrainingConfig, fit
from seapkg.training.checkpoint import Checkpoint

DATASET = tiny("image", "text", n_items=30)
TRAINING = TrainingConfig(learning_rate=0.01, batch_size=12, max_epochs=9, patience=9)
CASES = {
    "bpr": ("bpr", {}),
    "freedom": ("freedom", {"edge_dropout": 0.3}),
    "vbpr + sea": ("vbpr", {"alignment": "solosim", "distancing": "club"}),
    "micro": ("micro", {}),
    "rearm": ("rearm", {}),
    "sea": ("sea", {}),
    "released": ("sea", {"formulation": "released", "club_clamp": False}),
}


class Killed(BaseException):
    """Raised in the middle of a batch, as a signal might come."""


def model_of(case: str):
    name, options = CASES[case]
    return build(name, DATASET, small(name, **options), seed=0)


def mortal(model, batches: int):
    """The model, which is killed in the batch after so many."""
    left, whole, model.seen = [batches], model.losses, 0

    def losses(*batch):
        left[0] -= 1
        model.seen += 1
        if left[0] < 0:
            raise Killed
        return whole(*batch)

    model.losses = losses
    return model


def finished(model, checkpoint=None):
    return fit(model, DATASET, TRAINING, device="cpu", progress=False, checkpoint=checkpoint)


def without_time(fitted):
    return (
        [{**row, "seconds": 0} for row in fitted.curves],
        fitted.best_epoch,
        fitted.valid,
        fitted.test,
    )


@pytest.mark.parametrize("case", CASES)
def test_kills_at_random_moments_change_nothing(case, tmp_path):
    whole = model_of(case)
    expected = finished(whole)
    moments, kills = random.Random(case), 0
    while True:
        model = mortal(model_of(case), moments.randrange(2, 7) if kills < 4 else 10**6)
        try:
            fitted = finished(model, Checkpoint(tmp_path / "state.npz", case, every=0))
            break
        except Killed:
            kills += 1
    assert kills > 2
    assert model.seen < len(DATASET.train) // TRAINING.batch_size * len(fitted.curves), (
        "it began anew"
    )
    assert without_time(fitted) == without_time(expected)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), whole.state_dict().values(), strict=True)
    )
    assert all(
        np.array_equal(fitted.per_user[name], expected.per_user[name]) for name in expected.per_user
    )


def test_time_spent_before_a_kill_is_counted(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", "bpr", every=0)
    with pytest.raises(Killed):
        finished(mortal(model_of("bpr"), 9), checkpoint)
    path = checkpoint.path
    with np.load(path) as archive:
        arrays = dict(archive)
    facts = json.loads(arrays["facts"].tobytes()) | {"seconds": 1000.0}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    assert 1000 < finished(model_of("bpr"), Checkpoint(path, "bpr")).seconds_total < 1100


def broken(path, how: str) -> None:
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "altered":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    elif how == "no facts":
        np.savez(path, other=np.zeros(3))
    elif how == "a number":
        np.savez(path, facts=np.frombuffer(b"5", dtype=np.uint8))
    elif how == "dates":
        facts = b'{"of": {"tensor": "0"}}'
        dates = np.array(["2020-01-01"], dtype="datetime64[D]")
        np.savez(path, **{"facts": np.frombuffer(facts, dtype=np.uint8), "0": dates})
    else:
        np.savez(path, facts=np.array(["text"], dtype=object))


@pytest.mark.parametrize(
    "how", ["cut", "empty", "altered", "no facts", "a number", "dates", "objects"]
)
def test_a_broken_checkpoint_is_named_and_training_starts_anew(how, tmp_path, caplog):
    expected = finished(model_of("bpr"))
    path = tmp_path / "state.npz"
    with pytest.raises(Killed):
        finished(mortal(model_of("bpr"), 9), Checkpoint(path, "bpr", every=0))
    broken(path, how)
    fitted = finished(model_of("bpr"), Checkpoint(path, "bpr"))
    assert without_time(fitted) == without_time(expected)
    assert "state.npz" in caplog.text and "starts anew" in caplog.text


def test_the_checkpoint_of_another_training_or_device_is_left_alone(tmp_path, caplog):
    path = tmp_path / "state.npz"
    with pytest.raises(Killed):
        finished(mortal(model_of("bpr"), 9), Checkpoint(path, "bpr", every=0))
    assert Checkpoint(path, "bpr").load() is not None
    assert (
        Checkpoint(path, "another").load() is None and Checkpoint(path, "bpr").load("cuda") is None
    )
    assert "another training" in caplog.text


def test_a_checkpoint_that_cannot_be_written_costs_nothing_else(tmp_path, caplog):
    fitted = finished(
        model_of("bpr"), Checkpoint(tmp_path / "no such folder" / "state.npz", "bpr", every=0)
    )
    assert without_time(fitted) == without_time(finished(model_of("bpr")))
    assert "could not be written" in caplog.text


def test_no_checkpoint_is_written_before_its_time(tmp_path):
    finished(model_of("bpr"), Checkpoint(tmp_path / "state.npz", "bpr", every=1000))
    assert not list(tmp_path.iterdir())


OPTIONS = {
    "formulation": "released",
    "learning_rate": 3e-3,
    "max_epochs": 8,
    "batch_size": 4096,
    "embed_dim": 16,
    "encoder_width": 32,
}
SCRIPT = """
import json, sys, seapkg, seapkg.training.checkpoint as checkpoint
checkpoint.EVERY = 0.0
options = json.loads(sys.argv[2])
seapkg.train("sea", "synthetic", store=sys.argv[1], device="cpu", progress=False, **options)
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path):
    """SIGKILL, some way into the training of a process of its own, until one comes through."""
    store, spec = Store(tmp_path / "killed"), plan("sea", "synthetic", **OPTIONS).spec
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", SCRIPT, str(store.root), json.dumps(OPTIONS)]
    moments = random.Random(0)
    for _ in range(2):  # kills
        process = subprocess.Popen(command, env=environment)
        before = (
            store.checkpoint(spec).path.stat().st_mtime_ns
            if store.checkpoint(spec).path.exists()
            else 0
        )
        while process.poll() is None:  # until it has got on by one checkpoint at least
            path = store.checkpoint(spec).path
            if path.exists() and path.stat().st_mtime_ns > before:
                time.sleep(moments.random() / 20)
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.01)
        assert process.returncode == -signal.SIGKILL and store.find(spec) is None
    subprocess.run(command, env=environment, check=True)
    killed = store.find(spec)
    whole = seapkg.train(
        "sea", "synthetic", store=tmp_path / "whole", device="cpu", progress=False, **OPTIONS
    )
    assert (killed.test, killed.valid) == (whole.test, whole.valid)
    assert killed.curves.drop(columns="seconds").equals(whole.curves.drop(columns="seconds"))
    assert not store.checkpoint(spec).path.exists()

"""A disk that is full and memory that does not do: limits of the system, set on a process of its
own.
"""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny import tiny

from seapkg.__main__ import main
from seapkg.device import explained
from seapkg.errors import OutOfMemory, SeapkgError
from seapkg.runs.store import Store
from seapkg.runs.train import carry_out, plan
from seapkg.training.batches import Batches

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the limits and /proc are Linux's"
)


def python(script: str, *arguments) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


COMMAND = "train bpr --data synthetic --set embed_dim=16 max_epochs=2 --device cpu --store".split()
FULL_DISK = """
import resource, sys
import seapkg.training.checkpoint as checkpoint
from seapkg.__main__ import main
checkpoint.EVERY = 0.0
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


@linux
def test_a_disk_that_fills_up_while_a_run_is_written_leaves_no_run_and_is_told(tmp_path, capsys):
    """No file may grow beyond 20 kB: neither a checkpoint nor a model fits."""
    done = python(FULL_DISK, *COMMAND, tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "cannot be written" in last and "make room" in last
    assert Store(tmp_path).list() == [] and not list(tmp_path.glob(".writing-*"))
    assert "could not be written" in done.stderr  # the checkpoint, before
    assert main([*COMMAND, str(tmp_path)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["epochs"] == 2 and len(Store(tmp_path).list()) == 1


def test_a_run_that_cannot_be_written_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    planned, store = plan("bpr", tiny(), max_epochs=3, embed_dim=8), Store(tmp_path)
    monkeypatch.setattr("seapkg.training.checkpoint.EVERY", 0.0)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("seapkg.runs.store._write", full)
        with pytest.raises(SeapkgError, match="No space left on device"):
            carry_out(planned, store, device="cpu", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "epoch", full)  # nothing is left to train
        assert carry_out(planned, store, device="cpu", progress=False).record["epochs"] == 3


NO_MEMORY = """
import resource, sys
import torch
from seapkg.__main__ import main
torch.ones(300, 300) @ torch.ones(300, 300)  # starts the threads before the limit
lines = [line.split() for line in open("/proc/self/status")]
held = next(int(line[1]) for line in lines if line[0] == "VmSize:") * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]), resource.RLIM_INFINITY))
command = "train sea --data synthetic --device cpu --epochs 1 --store".split()
sys.exit(main([*command, sys.argv[1], "--set", *sys.argv[3:]]))
"""


@linux
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["embed_dim=200000"], ["building sea", "lower embed_dim"]),
        (
            ["encoder_width=100000", "batch_size=4096"],
            ["a training step", "lower batch_size, which is 4096"],
        ),
    ],
)
def test_too_little_memory_is_told_with_its_amount_and_the_option_to_set(options, words, tmp_path):
    done = python(NO_MEMORY, tmp_path, 1 << 30, *options)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert [word for word in ["out of memory in", "allocate", *words] if word not in last] == [], (
        last
    )
    assert Store(tmp_path).list() == [] and Store(tmp_path).failures() == {}


NO_ROOM = [
    MemoryError("Unable to allocate 3.00 GiB for an array"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB"),
    RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 3221225472 bytes."
    ),
]


@pytest.mark.parametrize("error", NO_ROOM)
def test_every_form_of_out_of_memory_names_the_work_and_the_remedy(error):
    with (
        pytest.raises(OutOfMemory, match="out of memory in a step.*lower it"),
        explained("a step", "lower it"),
    ):
        raise error


def test_other_errors_pass_unchanged():
    with pytest.raises(ValueError, match="none"), explained("a step", "lower it"):
        raise ValueError("none")

"""Runs on_pretended_cuda.py in a process of its own: torch cannot forget a device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

HERE = Path(__file__).parent
IS_POSSIBLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@pytest.mark.slow
@pytest.mark.skipif(not IS_POSSIBLE, reason="this torch has no devices written in Python")
def test_all_systems_train_on_a_pretended_gpu():
    path = os.pathsep.join([str(HERE.parent / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", str(HERE / "on_pretended_cuda.py")]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

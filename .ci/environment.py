"""Prints an interpreter with all requirements: the active environment's, or .venv's, made here."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK, PROJECT, VENV = ROOT / "requirements.lock", ROOT / "pyproject.toml", ROOT / ".venv"
PYTHON = VENV / "bin/python"
STATE = VENV / ".seapkg-ready"  # the hash of what .venv was made from; empty during a set-up
PIP = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def has_requirements(python):
    """Whether an interpreter has all requirements; pip names the first that it lacks."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    check = [python, *PIP, "--dry-run", "--no-index", "--no-deps", *wanted]
    return python.exists() and subprocess.run(check, stdout=sys.stderr).returncode == 0


def run(*command):
    print("set-up:", *command, file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit("set-up: this failed, see above; run it again to go on")


def prepare_venv():
    made_from = hashlib.sha256(LOCK.read_bytes() + PROJECT.read_bytes()).hexdigest()
    if VENV.exists() and not STATE.exists():
        if not has_requirements(PYTHON):
            sys.exit("set-up: .venv was not made here and lacks requirements; move it away")
    elif not VENV.exists() or STATE.read_text() != made_from:
        VENV.mkdir(exist_ok=True)
        STATE.write_text("")
        run(sys.executable, "-m", "venv", VENV)
        torch = re.search(r"^# (torch==\S+)$", LOCK.read_text(), re.MULTILINE)[1]
        index = os.environ.get("SEAPKG_TORCH_INDEX")
        run(PYTHON, *PIP, torch, *(["--index-url", index] if index else []))
        run(PYTHON, *PIP, "--require-hashes", "-r", LOCK)
        run(PYTHON, *PIP, "--no-deps", "--no-build-isolation", "--editable", ROOT)
        STATE.write_text(made_from)


active = Path(os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or VENV)
if active.resolve() != VENV and has_requirements(active / "bin/python"):
    print(active / "bin/python")
else:
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one set-up at a time
        prepare_venv()
    print(PYTHON)

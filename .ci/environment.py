"""Prints an interpreter with all requirements: the active environment's, or .venv's, made here."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK, PROJECT = ROOT / "requirements.lock", ROOT / "pyproject.toml"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin/python"
STATE = VENV / ".seapkg-ready"  # the hash of what .venv was made from; empty during a set-up
MISSING = """
import sys, tomllib
from importlib.metadata import distributions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as name
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
versions = {name(each.metadata["Name"]): each.version for each in distributions()}
for each in map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"]):
    if not each.specifier.contains(versions.get(name(each.name), "0"), prereleases=True):
        print(each)
"""


def say(text):
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def missing(python):
    """Names the requirements that an interpreter lacks; empty when it has all."""
    if not python.exists():
        return "a Python"
    checked = subprocess.run([python, "-c", MISSING, PROJECT], capture_output=True, text=True)
    return "most requirements" if checked.returncode else ", ".join(checked.stdout.split())


def pip_install(*arguments):
    say(f"pip install {' '.join(map(str, arguments))}")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments], check=True, stdout=sys.stderr)


def make_venv():
    """Makes .venv, or updates one that an earlier set-up finished."""
    if not PYTHON.exists() or not STATE.read_text():
        say(f"making .venv with {sys.executable}")
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        STATE.touch()
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    STATE.write_text("")
    torch = re.search(r"^# (torch==\S+)$", LOCK.read_text(), re.MULTILINE)[1]
    index = os.environ.get("SEAPKG_TORCH_INDEX")
    pip_install(torch, *(["--index-url", index] if index else []))
    pip_install("--require-hashes", "-r", LOCK)
    pip_install("--no-deps", "--no-build-isolation", "--editable", ROOT)


def prepare_venv():
    """Leaves a .venv that has all requirements."""
    fingerprint = hashlib.sha256(LOCK.read_bytes() + PROJECT.read_bytes()).hexdigest()
    if VENV.exists() and not STATE.exists():  # made by the user
        if lacks := missing(PYTHON):
            sys.exit(f"set-up: .venv was not made here and lacks {lacks}; move it away")
    elif not VENV.exists() or STATE.read_text() != fingerprint:
        make_venv()
        STATE.write_text(fingerprint)


def main():
    active = Path(os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or VENV)
    if active.resolve() != VENV:
        if not (lacks := missing(active / "bin/python")):
            say(f"using the active environment {active}")
            return print(active / "bin/python")
        say(f"the active environment {active} lacks {lacks}; using .venv instead")
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one set-up at a time
        try:
            prepare_venv()
        except subprocess.CalledProcessError:
            sys.exit("set-up: an installation failed, see above; run this again to start over")
    print(PYTHON)


main()

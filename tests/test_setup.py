"""run_all.sh, run_tests.sh and the set-up they share, without a network."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = 'source "$0/.ci/setup.sh"; echo "$python"'
TOOLS = ["bash", "cat", "dirname"]


@pytest.fixture
def clone(tmp_path):
    """A folder, with a space in its path, that holds what set-up reads."""
    root = tmp_path / "a clone"
    shutil.copytree(ROOT / ".ci", root / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["pyproject.toml", "requirements.lock", "run_all.sh", "run_tests.sh"]:
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture
def tools(tmp_path):
    """A folder for PATH: the shell's tools and one Python, but nothing to install from."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    script(folder / "python3", "exit 127")  # a shim that does not run
    script(folder / "python3.12", f'exec "{sys.executable}" "$@"')
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return path


def run(command, tools, **variables):
    nowhere = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    env = {"PATH": str(tools), "HOME": str(tools), **nowhere, **variables}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def set_up(clone, tools, **variables):
    return run(["bash", "-euo", "pipefail", "-c", SOURCE, clone], tools, **variables)


def finish_venv(clone, python="exit 0"):
    """A .venv as a finished set-up leaves it, with a script for a Python."""
    files = (clone / "requirements.lock", clone / "pyproject.toml")
    made_from = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    path = script(clone / ".venv/bin/python", python)
    (clone / ".venv/.seapkg-ready").write_text(made_from)
    return path


def test_a_finished_environment_is_used_at_once(clone, tools):
    python = finish_venv(clone)
    result = set_up(clone, tools)
    assert (result.stdout.strip(), result.stderr) == (str(python), "")


def test_a_failed_set_up_stays_unfinished(clone, tools):
    failing = 'if __name__ == "__main__":\n    raise SystemExit("No space left on device")\n'
    (tools / "venv.py").write_text(failing)
    finish_venv(clone)
    state = clone / ".venv/.seapkg-ready"
    state.write_text("")
    result = set_up(clone, tools, PYTHONPATH=str(tools))
    assert result.returncode == 1
    assert "No space left on device\nset-up: this failed" in result.stderr
    assert state.read_text() == ""


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_requirements_are_installed(clone, tools, name):
    finish_venv(clone, python='echo "$@" >> "$(dirname "$0")/calls"')
    with open(clone / name, "a") as file:
        file.write("# changed\n")
    assert set_up(clone, tools).returncode == 0
    assert "install --quiet" in (clone / ".venv/bin/calls").read_text()
    (clone / ".venv/bin/calls").unlink()
    assert set_up(clone, tools).returncode == 0
    assert "install --quiet" not in (clone / ".venv/bin/calls").read_text()


def test_an_incomplete_environment_that_set_up_did_not_make_is_left_alone(clone, tools):
    script(clone / ".venv/bin/python", "exit 1")
    result = set_up(clone, tools)
    assert result.returncode == 1
    assert ".venv was not made here and lacks requirements; move it away" in result.stderr
    assert (clone / ".venv/bin/python").exists()


def test_a_complete_active_environment_is_used(clone, tools):
    result = set_up(clone, tools, VIRTUAL_ENV=sys.prefix)
    assert result.stdout.strip() == str(Path(sys.prefix) / "bin/python"), result.stderr
    assert not (clone / ".venv").exists()


def test_an_incomplete_active_environment_is_told_and_not_used(clone, tools):
    project = clone / "pyproject.toml"
    project.write_text(project.read_text().replace("numpy>=2.0", "numpy>=99"))
    python = finish_venv(clone)
    result = set_up(clone, tools, CONDA_PREFIX=sys.prefix)
    assert "numpy>=99" in result.stderr
    assert result.stdout.strip() == str(python)


def test_without_a_suitable_python_the_error_says_what_to_install(clone, tools):
    (tools / "python3.12").unlink()
    result = set_up(clone, tools)
    assert result.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in result.stderr


def test_an_unknown_profile_is_one_line_and_exit_code_2(clone, tools):
    result = run([clone / "run_all.sh", "huge"], tools)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r'run_all.sh: no profile "huge"; .*\n', result.stderr)


@pytest.mark.parametrize(
    "command, expected",
    [
        ("run_all.sh", "-m seapkg.studies.notebooks smoke"),
        ("run_all.sh paper --only 01", "-m seapkg.studies.notebooks paper --only 01"),
        ("run_tests.sh -k knn", "-m pytest -n 2 -k knn"),
    ],
)
def test_arguments_and_exit_code_pass_through(clone, tools, command, expected):
    finish_venv(clone, python='[[ "$1" != -m ]] || echo "$@" in "$PWD"; exit 7')
    name, *rest = command.split()
    result = run([clone / name, *rest], tools)
    assert result.returncode == 7
    assert result.stdout.strip() == f"{expected} in {clone}"


@pytest.mark.parametrize("name", ["run_all.sh", "run_tests.sh"])
def test_help_prints_the_usage_and_sets_nothing_up(clone, tools, name):
    result = run([clone / name, "--help"], tools)
    assert result.returncode == 0 and result.stdout.startswith(f"usage: ./{name}")
    assert not (clone / ".venv").exists()

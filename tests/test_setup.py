"""run_all.sh, run_tests.sh and the set-up they share, without a network."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = 'cd /; source "$0/.ci/setup.sh"; echo "$python"'
TOOLS = ["bash", "cat", "rm", "mkdir", "dirname", "sha256sum", "shasum", "sed"]


@pytest.fixture
def clone(tmp_path):
    """A folder, with a space in its path, that holds what set-up reads."""
    root = tmp_path / "a clone"
    root.mkdir()
    shutil.copytree(ROOT / ".ci", root / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["pyproject.toml", "requirements.lock", "run_all.sh", "run_tests.sh"]:
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture
def bin_dir(tmp_path):
    """A folder for PATH: the shell's tools, no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in filter(shutil.which, TOOLS):
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return path


def environment(path, **more):
    """No active environment, nothing to install from, PATH is `path` alone."""
    nowhere = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return {"PATH": str(path), "HOME": str(path), **nowhere, **more}


def run(command, env):
    return subprocess.run(command, env=env, capture_output=True, text=True)


def source(clone, env):
    return run(["bash", "-euo", "pipefail", "-c", SOURCE, clone], env)


def finish_venv(clone):
    """A .venv as a finished set-up leaves it; its Python does nothing and succeeds."""
    python = script(clone / ".venv/bin/python", "exit 0")
    body = '. "$0/.ci/setup.sh" >/dev/null 2>&1; fingerprint >"$ready"'
    subprocess.run(["bash", "-c", body, clone], check=True, env=environment(os.environ["PATH"]))
    return python


def test_a_finished_set_up_is_used_at_once(clone, bin_dir):
    python = finish_venv(clone)
    result = source(clone, environment(bin_dir))
    assert result.stdout.strip() == str(python)
    assert result.stderr == "set-up: using .venv\n"


def test_an_interrupted_set_up_is_not_taken_for_finished(clone, bin_dir):
    finish_venv(clone)
    (clone / ".venv/.seapkg-unfinished").touch()
    result = source(clone, environment(bin_dir))
    assert result.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in result.stderr


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_change_of_the_requirements_asks_for_a_new_set_up(clone, bin_dir, name):
    finish_venv(clone)
    with open(clone / name, "a") as file:
        file.write("# changed\n")
    assert source(clone, environment(bin_dir)).returncode == 1


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_a_complete_active_environment_is_used_as_it_is(clone, bin_dir, variable):
    result = source(clone, environment(bin_dir, **{variable: sys.prefix}))
    assert result.stdout.strip() == str(Path(sys.prefix) / "bin/python"), result.stderr
    assert not (clone / ".venv").exists()


def test_an_active_environment_that_lacks_something_is_named_and_left_alone(clone, bin_dir):
    (clone / "pyproject.toml").write_text(
        (ROOT / "pyproject.toml").read_text().replace("numpy>=2.0", "numpy>=99")
    )
    result = source(clone, environment(bin_dir, VIRTUAL_ENV=sys.prefix))
    assert "lacks numpy>=99; using .venv instead" in result.stderr


def test_a_python_that_does_not_run_is_passed_over_and_a_failed_install_is_said(clone, bin_dir):
    script(bin_dir / "python3", "exit 127")
    script(bin_dir / "python3.13", "exit 127")
    script(bin_dir / "python3.12", f'exec "{sys.executable}" "$@"')
    result = source(clone, environment(bin_dir))
    assert result.returncode == 1
    assert "set-up: making .venv with" in result.stderr
    assert "torch==" in result.stderr and "run this again" in result.stderr
    assert (clone / ".venv/.seapkg-unfinished").exists()


def test_set_up_looks_for_the_pythons_that_the_package_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    for name in ["setup.sh", "requirements.py"]:
        assert "(3, 11) <= sys.version_info[:2] < (3, 14)" in (ROOT / ".ci" / name).read_text()


def test_an_unknown_profile_is_one_line_and_exit_2(clone, bin_dir):
    result = run([clone / "run_all.sh", "huge"], environment(bin_dir))
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r'run_all.sh: no profile "huge"; .*\n', result.stderr)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("run_all.sh", "-m seapkg.studies.notebooks smoke"),
        ("run_all.sh paper --only 01", "-m seapkg.studies.notebooks paper --only 01"),
        ("run_tests.sh", "-m pytest -n 2"),
        ("run_tests.sh -k knn", "-m pytest -n 2 -k knn"),
        ("run_tests.sh -n0 -x", "-m pytest -n0 -x"),
    ],
)
def test_arguments_and_exit_code_pass_through(clone, bin_dir, arguments, expected):
    python = finish_venv(clone)
    script(python, 'echo "$@" in "$PWD"; exit 7')
    name, *rest = arguments.split()
    result = run([clone / name, *rest], environment(bin_dir))
    assert result.returncode == 7
    assert result.stdout.strip() == f"{expected} in {clone}"


@pytest.mark.parametrize("name", ["run_all.sh", "run_tests.sh"])
def test_help_prints_usage_and_sets_nothing_up(clone, bin_dir, name):
    result = run([clone / name, "--help"], environment(bin_dir))
    assert result.returncode == 0 and result.stdout.startswith(f"usage: ./{name}")
    assert not (clone / ".venv").exists()

"""pyproject.toml, requirements.lock and environment.yml ask for the same things."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"pytorch": "torch"}  # on conda-forge: on PyPI
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def bounds(lines):
    """{canonical name: SpecifierSet} of requirement lines."""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in requirements}


def declared():
    """What the package and its tests need."""
    project = PYPROJECT["project"]
    return bounds(project["dependencies"] + project["optional-dependencies"]["test"])


def locked():
    """[(Requirement, its block of the lock)], torch's comment line left out."""
    blocks = re.findall(r"^[a-z0-9].*(?:\n .*)*", LOCK, flags=re.MULTILINE)
    return [(Requirement(block.split("\\")[0].strip()), block) for block in blocks]


def pins():
    """{canonical name: version} of the lock, torch among them."""
    pinned = [requirement for requirement, _ in locked()]
    pinned.append(Requirement(re.match(r"# (torch==\S+)\n", LOCK)[1]))
    return {canonicalize_name(each.name): str(each.specifier)[2:] for each in pinned}


def conda():
    """{name on PyPI: SpecifierSet} of environment.yml, conda's and pip's parts together."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    lines = [entry for entry in entries if isinstance(entry, str)]
    lines += [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    found = bounds(line for line in lines if not line.startswith("-e "))
    return {CONDA_NAMES.get(name, name): bound for name, bound in found.items()}


def test_every_declared_dependency_has_a_lower_bound():
    assert all(any(each.operator == ">=" for each in bound) for bound in declared().values()), (
        declared()
    )


def test_conda_asks_for_the_same_packages_with_the_same_bounds():
    python = {"python": SpecifierSet(PYPROJECT["project"]["requires-python"])}
    tools = {"pip": SpecifierSet(), **bounds(PYPROJECT["build-system"]["requires"])}
    assert conda() == declared() | python | tools


def test_conda_installs_the_package_itself_and_takes_all_else_from_conda_forge():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "-e .[test]" in environment["dependencies"][-1]["pip"]


@pytest.mark.parametrize("name", sorted(declared()))
def test_the_lock_pins_each_dependency_at_a_version_that_satisfies_it(name):
    assert declared()[name].contains(pins()[name])


def test_the_lock_pins_what_builds_the_package():
    for name, bound in bounds(PYPROJECT["build-system"]["requires"]).items():
        assert bound.contains(pins()[name])


def test_the_lock_pins_every_package_once_and_exactly():
    names = [canonicalize_name(requirement.name) for requirement, _ in locked()]
    assert len(names) == len(set(names)) > len(declared())
    for requirement, _ in locked():
        assert [each.operator for each in requirement.specifier] == ["=="]


def test_the_lock_opens_with_torch_and_has_it_nowhere_else():
    assert LOCK.startswith("# torch==")
    assert "torch" not in [requirement.name for requirement, _ in locked()]


def test_the_lock_has_hashes_for_everything_and_no_address():
    for requirement, block in locked():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), requirement
    assert "://" not in LOCK and not re.search(r"^\s*-(-|[if] )(?!-?hash)", LOCK, re.MULTILINE)


def test_the_lock_serves_other_systems_and_pythons_than_the_one_that_wrote_it():
    markers = {requirement.name: requirement.marker for requirement, _ in locked()}
    assert markers["appnope"].evaluate({"sys_platform": "darwin"})
    assert markers["aiohttp"].evaluate({"python_full_version": "3.12.4"})
    assert not markers["aiohttp"].evaluate({"python_full_version": "3.13.1"})


def test_importing_the_package_needs_no_notebook_and_no_plotting():
    code = "import seapkg, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    heavy = {"papermill", "nbclient", "nbformat", "ipykernel", "IPython", "matplotlib"}
    assert "seapkg" in loaded
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("jupyter")}

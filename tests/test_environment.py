"""pyproject.toml, requirements.lock and environment.yml name the same requirements."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^[a-z0-9].*(?:\n .*)*", LOCK, flags=re.MULTILINE)
LOCKED = [Requirement(block.split("\\")[0].strip()) for block in BLOCKS]


def bounds(lines):
    """{canonical name: SpecifierSet} of requirement lines."""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each.specifier for each in requirements}


def declared():
    """Bounds of what the package and its tests need."""
    project = PYPROJECT["project"]
    return bounds(project["dependencies"] + project["optional-dependencies"]["test"])


def build_tools():
    return bounds(PYPROJECT["build-system"]["requires"])


def test_every_requirement_has_a_lower_bound():
    assert all(">=" in str(bound) for bound in declared().values())


def test_conda_installs_the_same_requirements_with_the_same_bounds():
    *lines, from_pip = CONDA["dependencies"]
    lines += [line for line in from_pip["pip"] if not line.startswith("-e ")]
    conda = bounds(lines)
    conda["torch"] = conda.pop("pytorch")
    python = {"python": SpecifierSet(PYPROJECT["project"]["requires-python"])}
    assert conda == declared() | build_tools() | python | {"pip": SpecifierSet()}
    assert "-e .[test]" in from_pip["pip"]


def test_the_lock_pins_every_requirement_within_its_bounds():
    pins = {each.name: str(each.specifier).removeprefix("==") for each in LOCKED}
    pins["torch"] = re.match(r"# torch==(\S+)\n", LOCK)[1]
    wanted = declared() | build_tools()
    assert {name for name, bound in wanted.items() if not bound.contains(pins[name])} == set()


def test_the_lock_pins_each_package_once_and_exactly_but_torch():
    names = [each.name for each in LOCKED]
    assert len(names) == len(set(names)) and "torch" not in names
    assert all(re.fullmatch(r"==[^,*]+", str(each.specifier)) for each in LOCKED)


def test_the_lock_has_hashes_for_everything_and_no_address():
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in BLOCKS)
    assert "://" not in LOCK and not re.search(r"^\s*-(?!-hash)", LOCK, re.MULTILINE)


def test_the_lock_serves_other_systems_and_pythons():
    markers = {each.name: each.marker for each in LOCKED}
    assert markers["appnope"].evaluate({"sys_platform": "darwin"})
    assert not markers["aiohttp"].evaluate({"python_full_version": "3.13.1"})


def test_importing_the_package_loads_no_notebook_and_no_plotting():
    code = "import seapkg, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "seapkg" in loaded
    assert not loaded & {"papermill", "nbclient", "nbformat", "ipykernel", "IPython", "matplotlib"}
    assert not {name for name in loaded if name.startswith("jupyter")}

"""What pyproject.toml asks for, as set-up and the lock need it.

`missing`: what this Python lacks, one line, exit 1; silent and 0 when it has everything.
`lock-input`: what requirements.lock pins, one requirement a line; torch itself is left out.
"""

import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read_pyproject():
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared():
    """Requirements of the package and of its tests."""
    project = read_pyproject()["project"]
    return project["dependencies"] + project["optional-dependencies"]["test"]


def holds(text):
    """Whether an installed package meets the requirement."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def missing():
    """What this Python lacks; where packaging is not, matplotlib and pytest are not either."""
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return ["a Python from 3.11 to 3.13"]
    try:
        return [text for text in declared() if not holds(text)]
    except ModuleNotFoundError:
        return ["most of what pyproject.toml asks for"]


def lock_input():
    """All requirements but torch, with those of the installed torch that hold on every machine."""
    ours = [text for text in declared() if not text.startswith("torch")]
    of_torch = [text for text in metadata.requires("torch") if ";" not in text]
    return ours + of_torch + read_pyproject()["build-system"]["requires"]


def main():
    if sys.argv[1:] == ["lock-input"]:
        print("\n".join(lock_input()))
    elif lacking := missing():
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        print(", ".join(lacking[:3]) + more)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Profiles: notebooks/profiles/NAME.yaml holds the notebook parameters that a profile overrides."""

from pathlib import Path
from typing import Any

import yaml

from seapkg.errors import look_up
from seapkg.runs import locations

BESIDE_PACKAGE = Path(__file__).resolve().parents[2] / "notebooks" / "profiles"


def profiles() -> dict[str, Path]:
    """Name -> file of each profile, in the project folder or else beside the package."""
    folder = locations.project_root() / "notebooks" / "profiles"
    folder = folder if folder.is_dir() else BESIDE_PACKAGE
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def parameters(profile: str) -> dict[str, dict[str, Any]]:
    """Notebook -> its parameters in a profile; raises RequestError for an unknown profile."""
    file = look_up("profile", profile, profiles())
    return yaml.safe_load(file.read_text(encoding="utf-8"))

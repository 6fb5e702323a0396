"""Profiles: notebooks/profiles/NAME.yaml holds the parameters that each notebook gets beyond its
own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from seapkg.errors import RequestError, did_you_mean
from seapkg.runs import locations

BESIDE_PACKAGE = Path(__file__).resolve().parents[2] / "notebooks" / "profiles"


def profiles() -> dict[str, Path]:
    """Name -> file of each profile, in the repository one works in or else beside the package."""
    folder = locations.workplace() / "notebooks" / "profiles"
    if not folder.is_dir():
        folder = BESIDE_PACKAGE
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def parameters(profile: str) -> dict[str, dict[str, Any]]:
    """Notebook -> its parameters in a profile; raises RequestError for an unknown profile."""
    known = profiles()
    if profile not in known:
        hint = did_you_mean(profile, known)
        raise RequestError(f"no profile {profile!r}{hint}; there are {', '.join(known)}")
    return yaml.safe_load(known[profile].read_text(encoding="utf-8")) or {}

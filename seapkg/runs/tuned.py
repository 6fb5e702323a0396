"""Options chosen on the validation split, by dataset and main-table label: `tuned.yaml`."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml


def tuned(dataset: str, label: str) -> dict[str, Any]:
    """Options chosen for one system on one dataset; {} where nothing was chosen.

    Args:
        dataset: the dataset's name, such as "baby".
        label: the system's row in the main table, such as "lightgcn" or "sea (released)".
    """
    return dict(_tables().get(dataset, {}).get(label, {}))


@cache
def _tables() -> dict[str, dict[str, dict[str, Any]]]:
    text = resources.files("seapkg.runs").joinpath("tuned.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)

"""Options by dataset and main-table label: `tuned.yaml` and `pinned.yaml`."""

from importlib import resources
from typing import Any

import yaml


def _read(name):
    return yaml.safe_load((resources.files("seapkg.runs") / name).read_bytes())


_TUNED, _PINNED = _read("tuned.yaml"), _read("pinned.yaml")


def tuned(dataset: str, label: str) -> dict[str, Any]:
    """Options chosen on the validation split; {} where nothing was chosen.

    Args:
        dataset: the dataset's name, such as "baby".
        label: the system's row in the main table, such as "lightgcn" or "sea (released)".
    """
    return dict(_TUNED.get(dataset, {}).get(label, {}))


def pinned(dataset: str, label: str) -> dict[str, Any]:
    """Options from which most studies start, which a later search does not change."""
    return dict(_PINNED.get(dataset, {}).get(label, {}))

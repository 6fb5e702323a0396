"""Options chosen on the validation split, by dataset and main-table label: `tuned.yaml`."""

from importlib import resources
from typing import Any

import yaml

_TABLES = yaml.safe_load((resources.files("seapkg.runs") / "tuned.yaml").read_bytes())


def tuned(dataset: str, label: str) -> dict[str, Any]:
    """Options chosen for one system on one dataset; {} where nothing was chosen.

    Args:
        dataset: the dataset's name, such as "baby".
        label: the system's row in the main table, such as "lightgcn" or "sea (released)".
    """
    return dict(_TABLES.get(dataset, {}).get(label, {}))

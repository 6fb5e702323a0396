"""Options by dataset and main-table label: `tuned.yaml` and `pinned.yaml`."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from seapkg.files import write_text

FILE = Path("seapkg/runs/tuned.yaml")


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


def keep(project: Path, dataset: str, label: str, options: Mapping[str, Any]) -> None:
    """Writes options into the project's `tuned.yaml`; those it has and `options` lacks stay.

    Args:
        project: the project folder.
        dataset, label: as in `tuned`.
        options: those that a search chose.
    """
    text = (project / FILE).read_text(encoding="utf-8")
    remarks = [line for line in text.splitlines() if line.startswith("#")]
    table = yaml.safe_load(text)
    rows = table.setdefault(dataset, {})
    rows[label] = {**rows.get(label, {}), **options}
    lines = list(remarks)
    for name, rows in table.items():
        lines.append(f"{name}:")
        for row, chosen in rows.items():
            values = yaml.safe_dump(chosen, default_flow_style=True, sort_keys=False, width=1000)
            lines.append(f"  {row}: {values.strip()}")
    write_text(project / FILE, "\n".join(lines) + "\n")

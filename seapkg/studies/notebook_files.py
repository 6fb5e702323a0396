"""Notebook files: the parameters they declare, and executed copies without timing metadata."""

import ast
import json
from pathlib import Path
from typing import Any

from seapkg.files import write_text

INJECTED = "injected-parameters"


def declared(path: Path) -> dict[str, Any]:
    """Name -> value of each literal assigned in the cell tagged `parameters`; {} without one."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    sources = ["".join(cell["source"]) for cell in tagged]  # a string, or a list of lines
    statements = ast.parse("\n".join(sources)).body
    assignments = [one for one in statements if isinstance(one, ast.Assign)]
    return {one.targets[0].id: ast.literal_eval(one.value) for one in assignments}


def copy_clean(executed: Path, original: Path, target: Path) -> None:
    """Writes the executed notebook without papermill's times, tags and kernel names."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata = nbformat.read(original, as_version=4).metadata
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        for name in ("papermill", "execution") if tags else ("papermill", "execution", "tags"):
            cell.metadata.pop(name, None)
        if tags == [INJECTED]:
            cell.id = INJECTED
    write_text(target, nbformat.writes(notebook).rstrip("\n") + "\n")

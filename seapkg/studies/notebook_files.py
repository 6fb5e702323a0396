"""Notebook files: the parameters they declare, and executed copies without clocks and machines."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import nbformat

from seapkg.errors import RequestError
from seapkg.files import write_text

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
CLOCKS = ("papermill", "execution")


def read(path: Path) -> Any:
    """The notebook at `path`, in format 4; a broken file is a RequestError."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has many errors for a broken file
        reason = f"{type(error).__name__}: {error}"
        raise RequestError(f"{path} cannot be read as a notebook ({reason})") from error


def write(notebook: Any, path: Path) -> None:
    """Writes the notebook in one form, with one newline at the end."""
    write_text(path, nbformat.writes(notebook, version=4).rstrip("\n") + "\n")


def declared(path: Path) -> dict[str, Any]:
    """Name -> value of each assignment in the cell tagged `parameters`; {} without such a cell.

    Values are read as literals and never evaluated.

    Raises:
        RequestError: for a cell that is not Python, and for a value that is no literal.
    """
    source = "\n".join(cell.source for cell in read(path).cells if PARAMETERS in tags(cell))
    try:
        return literals(source)
    except (SyntaxError, ValueError) as error:
        raise RequestError(
            f"{path.name}: the cell tagged `{PARAMETERS}` may only assign literals ({error})"
        ) from error


def literals(source: str) -> dict[str, Any]:
    """Name -> value of each assignment; raises ValueError for a value that is no literal."""
    values = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            values[target.id] = ast.literal_eval(statement.value)
    return values


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def clean(executed: Any, original: Any) -> Any:
    """The executed notebook without papermill's clocks, tags and kernel names."""
    cleaned = copy.deepcopy(executed)
    cleaned.metadata = copy.deepcopy(original.metadata)
    cleaned.nbformat, cleaned.nbformat_minor = original.nbformat, original.nbformat_minor
    for cell in cleaned.cells:
        _strip(cell)
    return cleaned


def _strip(cell: Any) -> None:
    for name in CLOCKS:
        cell.metadata.pop(name, None)
    if INJECTED in tags(cell):
        cell.id = INJECTED
    if not tags(cell):
        cell.metadata.pop("tags", None)

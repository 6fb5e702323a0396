"""Notebook files: the parameters they declare, and executed copies without clocks and machines."""

import ast
import copy
from pathlib import Path
from typing import Any

import nbformat

from seapkg.errors import RequestError
from seapkg.files import write_text

TAG = "parameters"
INJECTED = "injected-parameters"
CLOCKS = ("papermill", "execution")


def read(path: Path) -> Any:
    """The notebook at `path`, in format 4; a broken file is a RequestError."""
    try:
        return nbformat.read(path, as_version=4)
    except (
        Exception
    ) as error:  # nbformat raises many kinds for a broken file, and all mean the same here
        raise RequestError(
            f"{path} is no notebook that can be read ({type(error).__name__}: {error})"
        ) from error


def write(notebook: Any, path: Path) -> None:
    """Writes the notebook as git should see it: one form, one newline at the end."""
    write_text(path, nbformat.writes(notebook, version=4).rstrip("\n") + "\n")


def declared(path: Path) -> dict[str, Any]:
    """Name -> value for each assignment in the notebook's one cell tagged `parameters`; none without such a cell.

    Values are read as literals, never evaluated; what is no literal is a RequestError.
    """
    cells = [cell for cell in read(path).cells if TAG in tags(cell)]
    if len(cells) > 1:
        raise RequestError(f"{path.name} has {len(cells)} cells tagged `{TAG}`; it may have one")
    try:
        statements = ast.parse(cells[0].source).body if cells else []
        return {
            name: ast.literal_eval(statement.value)
            for statement in statements
            for name in _assigned(statement)
        }
    except SyntaxError as error:
        raise RequestError(
            f"{path.name}: its cell tagged `{TAG}` is not Python: {error}"
        ) from error
    except ValueError as error:
        raise RequestError(
            f"{path.name}: a parameter in its cell tagged `{TAG}` is no literal: {error}"
        ) from error


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def clean(executed: Any, original: Any) -> Any:
    """The executed notebook without papermill's traces: clocks, tags, kernel names; cells are counted anew.

    The cell of injected parameters is kept only where it says something else than the notebook's own.
    """
    cleaned = copy.deepcopy(executed)
    cleaned.metadata = copy.deepcopy(original.metadata)
    cleaned.nbformat, cleaned.nbformat_minor = original.nbformat, original.nbformat_minor
    cleaned.cells = [cell for cell in cleaned.cells if not _is_superfluous(cell, original)]
    for cell in cleaned.cells:
        _strip(cell)
    _count_anew(cleaned.cells)
    return cleaned


def _assigned(statement: ast.stmt) -> list[str]:
    targets = (
        statement.targets
        if isinstance(statement, ast.Assign)
        else [getattr(statement, "target", None)]
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_superfluous(cell: Any, original: Any) -> bool:
    if INJECTED not in tags(cell):
        return False
    own = _values("\n".join(other.source for other in original.cells if TAG in tags(other)))
    return all(name in own and own[name] == value for name, value in _values(cell.source).items())


def _values(source: str) -> dict[str, str]:
    """Name -> its value as Python writes it, for each assignment."""
    statements = ast.parse(source).body
    return {
        name: ast.dump(statement.value) for statement in statements for name in _assigned(statement)
    }


def _strip(cell: Any) -> None:
    for name in CLOCKS:
        cell.metadata.pop(name, None)
    if INJECTED in tags(cell):
        cell.id = INJECTED
    if not tags(cell):
        cell.metadata.pop("tags", None)


def _count_anew(cells: list[Any]) -> None:
    ran = [cell for cell in cells if cell.cell_type == "code" and cell.execution_count is not None]
    for number, cell in enumerate(ran, 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number

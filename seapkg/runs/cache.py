"""What was computed once and is kept beside the runs: a JSON file for each kind of thing, by what it is of."""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from seapkg.errors import SeapkgError
from seapkg.files import write_text
from seapkg.locks import locked
from seapkg.runs.store import Store


def once(
    kind: str, of: dict[str, Any], make: Callable[[], Any], *, store: Store, again: bool = False
) -> Any:
    """What `make()` gives, read from the store where it was made before.

    `of`: all that decides what comes out; the `digest` of the code belongs to it where that may change. `again` makes
    it anew. Both are of what JSON can hold; numbers come back to the last bit.
    """
    name = json.dumps(of, sort_keys=True)
    known = {} if again else every(kind, store)
    if name not in known:
        known[name] = json.loads(json.dumps(make()))
        keep(kind, {name: known[name]}, store.root)
    return known[name]


def digest(*modules: ModuleType) -> str:
    """A short name for the source of these modules, another after every change to one of them."""
    sources = "".join(inspect.getsource(module) for module in modules)
    return hashlib.sha256(sources.encode()).hexdigest()[:12]


def every(kind: str, store: Store) -> dict[str, Any]:
    """All of a kind that is kept; what the store has comes before what its reference has."""
    roots = [root for root in (store.reference, store.root) if root is not None]
    return {name: value for root in roots for name, value in _read(_file(kind, root)).items()}


def keep(kind: str, more: dict[str, Any], root: Path) -> None:
    """Adds to what is kept under the root of a store, in place of what has the same name."""
    root.mkdir(parents=True, exist_ok=True)
    with locked(root):
        all_of_them = dict(sorted({**_read(_file(kind, root)), **more}.items()))
        write_text(_file(kind, root), json.dumps(all_of_them, indent=1) + "\n")


def _file(kind: str, root: Path) -> Path:
    return root / f"{kind}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise SeapkgError(
            f"{path} cannot be read ({error}): delete it, and what it held is computed again"
        ) from error

"""A JSON cache beside the runs: one file per kind of result, keyed by the inputs.

A result that depends on code has the version of that code among its inputs, such as
`PROBES_VERSION`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seapkg.errors import SeapkgError
from seapkg.files import locked, write_text
from seapkg.runs.store import Store


def once(
    kind: str, of: dict[str, Any], make: Callable[[], Any], *, store: Store, again: bool = False
) -> Any:
    """Returns the cached result, or computes it with `make` and caches it in the store.

    Args:
        kind: the name of the JSON file.
        of: all inputs of the result, as JSON values.
        make: computes the result; floats are cached exactly.
        again: recomputes and replaces the cached result.
    """
    key = json.dumps(of, sort_keys=True)
    known = {} if again else every(kind, store)
    if key not in known:
        known[key] = json.loads(json.dumps(make()))
        keep(kind, {key: known[key]}, store.root)
    return known[key]


def every(kind: str, store: Store) -> dict[str, Any]:
    """All cached results of a kind by key; the store takes precedence over its reference."""
    results = {}
    for root in (store.reference, store.root):
        if root is not None:
            results |= _read(root / f"{kind}.json")
    return results


def keep(kind: str, results: dict[str, Any], root: Path) -> None:
    """Adds results by key to the cache under `root`, replacing those of the same key."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{kind}.json"
    with locked(root):
        merged = {**_read(path), **results}
        write_text(path, json.dumps(dict(sorted(merged.items())), indent=1) + "\n")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise SeapkgError(
            f"{path} cannot be read ({error}); delete it: its results will be computed again"
        ) from error

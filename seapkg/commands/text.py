"""What commands share: an option, tables to stdout, remarks to stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def add_store(command) -> None:
    """Adds the option --store."""
    command.add_argument(
        "--store", metavar="DIR", help="where runs live; default: $SEAPKG_STORE or results/runs"
    )


def print_table(table: pd.DataFrame) -> None:
    """Prints a table with short floats and without its index."""
    print(table.to_string(index=False, float_format="{:.4g}".format))


def say(message: str) -> None:
    """Writes one line to stderr."""
    print(f"seapkg: {message}", file=sys.stderr)

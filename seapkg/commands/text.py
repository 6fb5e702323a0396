"""How commands write: tables to stdout, remarks to stderr."""

import sys

import pandas as pd


def print_table(table: pd.DataFrame) -> None:
    """Prints a table with short floats and without its index."""
    print(table.to_string(index=False, float_format="{:.4g}".format))


def say(message: str) -> None:
    """Writes one line to stderr."""
    print(f"seapkg: {message}", file=sys.stderr)

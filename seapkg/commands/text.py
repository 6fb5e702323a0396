"""Shared by all commands: options, tables on stdout, messages on stderr."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: Options of several commands.
SHARED = {
    "run": {"metavar": "RUN", "help": "its name, its key, or the start of either"},
    "--data": {"metavar": "DIR|NAME", "help": "default: the source of the run's data"},
    "--epochs": {"type": int, "metavar": "N", "help": "the maximal number of epochs"},
    "--workers": {"type": int, "default": 1, "metavar": "N", "help": "processes; default: 1"},
    "--scheduler": {"metavar": "ADDRESS", "help": "a Dask scheduler; its workers train instead"},
    "--device": {"default": "auto", "help": "auto, cpu, cuda or cuda:N; default: auto"},
    "--store": {
        "metavar": "DIR",
        "help": "the folder of runs; default: $SEAPKG_STORE or results/runs",
    },
}


def add_command(commands, name: str, run: Callable, summary: str, *shared: str) -> ArgumentParser:
    """Adds a command that calls `run`, with some of the options in `SHARED`."""
    command = commands.add_parser(name, help=summary)
    command.set_defaults(command=run)
    for option in shared:
        command.add_argument(option, **SHARED[option])
    return command


def print_table(table: pd.DataFrame) -> None:
    """Prints a table with short floats and without its index."""
    print(table.to_string(index=False, float_format="{:.4g}".format))


def say(message: str) -> None:
    """Writes one line to stderr."""
    print(f"seapkg: {message}", file=sys.stderr)

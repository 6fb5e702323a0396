"""The command line: `python -m seapkg COMMAND`; `--help` lists the commands and their options.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 2 the request or the data
is wrong (one clear line), 1 a fault, 130 interrupted.
"""

import argparse
import logging
import os
import sys

from seapkg.commands import claims, compare, data, listing, training, tune
from seapkg.commands.text import say
from seapkg.errors import SeapkgError

DESCRIPTION = "Train, compare and inspect multimodal recommenders."
INTERRUPTED, BROKEN_PIPE = 130, 141  # as shells count them: 128 + the signal


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    logging.basicConfig(format="seapkg: %(message)s", stream=sys.stderr, level=logging.WARNING)
    options = parser().parse_args(arguments)
    try:
        code = options.command(options)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        say("interrupted; the same command continues from its last checkpoint, if any")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (SeapkgError, OSError, MemoryError) as error:
        say(str(error) or "out of memory")
        return getattr(error, "exit_code", 1)


def parser() -> argparse.ArgumentParser:
    """The parser of every command and its options."""
    root = argparse.ArgumentParser(prog="seapkg", description=DESCRIPTION)
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for group in (training, tune, compare, claims, listing, data):
        group.add(commands)
    return root


if __name__ == "__main__":
    from seapkg.device import keep_freed_memory

    keep_freed_memory()
    sys.exit(main())

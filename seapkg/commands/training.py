"""`train | verify`: trains a run, or trains it again to compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from seapkg.commands.listing import run_and_data
from seapkg.commands.text import add_command, print_table, say
from seapkg.errors import RequestError

if TYPE_CHECKING:
    from seapkg.runs.train import Plan

ARGUMENTS = ("model", "data", "seed", "precision")  # of the command, not options of a model


def add(commands) -> None:
    """Adds the commands."""
    training = ("--epochs", "--device", "--store")
    record = "train a model; the last line of stdout is a JSON record of the run"
    option = add_command(commands, "train", _train, record, *training).add_argument
    option("model", metavar="MODEL", help="its name; `models` lists them")
    option("--data", required=True, metavar="DIR|NAME", help="a folder or a dataset's name")
    option("--tuned", action="store_true", help="start from the options tuned for this dataset")
    option("--set", nargs="+", action="extend", default=[], metavar="key=value", help="options")
    option("--seed", type=int, default=0, metavar="N", help="default: 0")
    option("--precision", default="exact", help="exact (default) or fast")
    again = "train a finished run again and compare; exit code 1 if it differs"
    add_command(commands, "verify", _verify, again, "run", "--data", *training)


def _train(options) -> None:
    from seapkg.runs import locations
    from seapkg.runs.store import Store
    from seapkg.runs.train import carry_out

    planned = planned_run(options)
    store = Store(options.store or locations.store_root())  # no reference: its runs have no model
    run = store.find(planned.spec)
    if run is not None:
        say(f"{run.name} is in {store.root} already; nothing was trained")
    else:
        run = carry_out(planned, store, device=options.device)
    print(json.dumps(run.summary(), allow_nan=False))


def planned_run(options) -> Plan:
    """The plan of a `train` command: tuned options first, then --set and --epochs."""
    from seapkg.data.catalogue import load_or_known
    from seapkg.runs.train import plan

    values, data = settings(options.set, options.epochs), load_or_known(options.data)
    if options.tuned:
        values = tuned_options(options.model, data.name, values) | values
    return plan(options.model, data, seed=options.seed, precision=options.precision, **values)


def tuned_options(model: str, dataset: str, values: dict[str, Any]) -> dict[str, Any]:
    """The tuned options of a system on a dataset, in the formulation that `values` choose."""
    from seapkg.models import find
    from seapkg.runs.configure import configure
    from seapkg.runs.tuned import tuned

    config, _ = configure(model, values)
    label = f"{model} ({config.formulation})" if find(model).formulations else model
    options = tuned(dataset, label)
    if not options:
        say(f"no options of {label} were tuned on {dataset}; the defaults are used")
    return options


def settings(pairs: list[str], epochs: int | None = None) -> dict[str, str | int]:
    """`["a=1", "b=x"]` as a dictionary; `epochs` sets `max_epochs`.

    Raises:
        RequestError: an option has no value or two, or is an argument of the command.
    """
    values: dict[str, str | int] = {} if epochs is None else {"max_epochs": epochs}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise RequestError(f"--set takes key=value; it was given {pair!r}")
        if key in ARGUMENTS:
            raise RequestError(f"--set does not take {key}; give it as an argument of the command")
        if key in values:
            raise RequestError(f"{key} is given twice (--epochs sets max_epochs); give it once")
        values[key] = value
    return values


def _verify(options) -> int:
    from seapkg.runs.verify import DIFFERENT, verify

    run, data = run_and_data(options)
    table, verdict = verify(run, epochs=options.epochs, data=data, device=options.device)
    print_table(table)
    print(f"{run.name}: {verdict}")
    return 1 if verdict == DIFFERENT else 0

"""`train | verify`: trains runs."""

import json
from typing import Any

from seapkg.commands.text import add_store, print_table, say
from seapkg.errors import RequestError


def add(commands) -> None:
    """Adds the commands."""
    _add_train(commands)
    _add_verify(commands)


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train", help="train a model; the last line of stdout is a JSON record of the run"
    )
    train.add_argument("model", metavar="MODEL", help="its name; `models` lists them")
    train.add_argument("--data", required=True, metavar="DIR|NAME", help="a folder or a name")
    train.add_argument(
        "--tuned", action="store_true", help="start from the options tuned for this dataset"
    )
    train.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="key=value", help="options"
    )
    train.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    train.add_argument("--epochs", type=int, metavar="N", help="the most epochs; sets max_epochs")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: auto")
    train.add_argument("--precision", default="exact", help="exact (default) or fast")
    add_store(train)
    train.set_defaults(command=_train)


def _add_verify(commands) -> None:
    verify = commands.add_parser(
        "verify", help="train a finished run again and compare; exit code 1 where it differs"
    )
    verify.add_argument("run", metavar="RUN", help="its name, its key, or the beginning of either")
    verify.add_argument("--epochs", type=int, metavar="N", help="compare only the first N epochs")
    verify.add_argument("--data", metavar="DIR|NAME", help="default: where the run read its data")
    verify.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: auto")
    add_store(verify)
    verify.set_defaults(command=_verify)


def _train(options) -> None:
    from seapkg.runs import locations
    from seapkg.runs.store import Store
    from seapkg.runs.train import carry_out

    planned = planned_run(options)
    store = Store(options.store or locations.store_root())  # no reference: the model is wanted
    run = store.find(planned.spec)
    if run is not None:
        say(f"{run.name} is in {store.root} already; nothing was trained")
    else:
        run = carry_out(planned, store, device=options.device)
    print(json.dumps(run.summary(), allow_nan=False))


def planned_run(options) -> Any:
    """The plan of a `train` command: tuned options first, then --set and --epochs."""
    from seapkg.data.catalogue import load_or_known
    from seapkg.runs.train import plan

    values = settings(options.set, options.epochs)
    data: Any = options.data
    if options.tuned:
        data = load_or_known(options.data)
        values = tuned_options(options.model, data.name, values) | values
    return plan(options.model, data, seed=options.seed, precision=options.precision, **values)


def tuned_options(model: str, dataset: str, values: dict[str, Any]) -> dict[str, Any]:
    """The tuned options of a system on a dataset; those of `values` choose its formulation."""
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
        RequestError: where an option is given twice, or without a value.
    """
    values: dict[str, str | int] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise RequestError(f"--set takes key=value; it was given {pair!r}")
        if key in values:
            raise RequestError(f"--set gives {key} twice")
        values[key] = value
    if epochs is None:
        return values
    if "max_epochs" in values:
        raise RequestError("--epochs and --set max_epochs mean the same; give one of them")
    return {**values, "max_epochs": epochs}


def _verify(options) -> int:
    from seapkg.data import load
    from seapkg.runs.store import Store
    from seapkg.runs.verify import DIFFERENT, verify

    data = load(options.data) if options.data else None
    run = Store(options.store).get(options.run)
    found = verify(run, epochs=options.epochs, data=data, device=options.device)
    print_table(found.deviations)
    print(f"{run.name}: {found.verdict}")
    return 1 if found.verdict == DIFFERENT else 0

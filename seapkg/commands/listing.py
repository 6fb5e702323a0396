"""`models | runs | recommend | export`: lists systems and runs, and uses trained models."""

import argparse
import re
from pathlib import Path

from seapkg.commands.text import SHARED, add_command, print_table, say

#: The name of a run's folder.
RUN_NAME = re.compile(r"[^.].*-.*-[0-9a-f]{12}")


def add(commands) -> None:
    """Adds the commands."""
    add_command(commands, "models", _models, "list the models and their options")
    runs = add_command(commands, "runs", _runs, "list or import finished runs", "--store")
    actions = runs.add_subparsers(metavar="[ACTION]")
    take = add_command(actions, "import", _import, "copy the runs of another store into this one")
    take.add_argument("folder", metavar="DIR", type=Path, help="a folder of finished runs")
    take.add_argument("--store", **SHARED["--store"] | {"default": argparse.SUPPRESS})
    of_run = ("run", "--data", "--store")
    best = "recommend new items to a user with the model of a finished run"
    recommend = add_command(commands, "recommend", _recommend, best, *of_run)
    recommend.add_argument("--user", type=int, required=True, metavar="ID")
    recommend.add_argument("-k", type=int, default=10, metavar="N", help="how many; default: 10")
    files = "write the vectors (.npz) of a run and the best items of all users (CSV)"
    export = add_command(commands, "export", _export, files, *of_run)
    export.add_argument("--out", default=".", metavar="DIR", help="output folder; default: here")
    export.add_argument("-k", type=int, default=20, metavar="N", help="items per user; default: 20")


def _models(options) -> None:
    from seapkg.models import systems
    from seapkg.training import TrainingConfig

    for name, system in systems().items():
        needs = "item features" if system.model.needs_features else "interactions only"
        year = f" ({system.year})" if system.year else ""
        print(f"{name}: {system.title}{year}; needs {needs}")
        _print_options(system.model.config_class)
        defaults = system.model.training_defaults.items()
        trained = ", ".join(f"{key}={value}" for key, value in defaults)
        print(f"    trained by default with {trained}\n" if trained else "")
    print("training, for every model")
    _print_options(TrainingConfig)


def _print_options(config_class: type) -> None:
    """Prints one line per option: name, default, type with bounds, meaning."""
    from seapkg.options import describe_options

    config = config_class()
    for option in describe_options(config_class):
        default = getattr(config, option.name)
        note = ", follows other options" if option.default is None else ""
        form = " | ".join(option.choices or (kind.__name__ for kind in option.kinds))
        limits = _bounds(config_class.__pydantic_fields__[option.name].metadata)
        print(f"    {option.name} = {default}{note}  ({form}{limits})  {option.meaning}")


def _bounds(constraints: list) -> str:
    """Pydantic's constraints of a field as text, such as ", >= 0, < 1"."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return "".join(
        f", {sign} {getattr(constraint, name)}"
        for constraint in constraints
        for name, sign in signs.items()
        if hasattr(constraint, name)
    )


def _runs(options) -> None:
    import pandas as pd

    from seapkg.runs.store import Store

    store = Store(options.store)
    rows = [
        {
            "run": run.name,
            "seed": run.seed,
            "epochs": run.record["epochs"],
            "valid R@20": run.valid["recall@20"],
            "test R@20": run.test["recall@20"],
            "seconds": run.record["seconds_total"],
        }
        for run in store.list()
    ]
    if rows:
        print_table(pd.DataFrame(rows))
    else:
        say(f"no runs in {store.root} yet")
    for name, reason in store.failures().items():
        say(f"{name} failed: {reason}")


def _import(options) -> int:
    """Returns 2 if a run was refused; the others are imported."""
    from seapkg.errors import RequestError, SeapkgError
    from seapkg.runs.store import Store

    store, folders = Store(options.store), runs_in(options.folder)
    if not folders:
        raise RequestError(f"{options.folder} has no folder of a run (MODEL-DATASET-KEY)")
    n_refused = 0
    for folder in folders:
        is_known = (store.root / folder.name).is_dir()
        try:
            run = store.take(folder)
        except SeapkgError as error:
            n_refused += 1
            say(f"refused: {error}")
            continue
        note = "already here" if is_known else "imported"
        print(f"{run.name}  {note}")
    print(f"{len(folders) - n_refused} of {len(folders)} runs are in {store.root}")
    return 2 if n_refused else 0


def runs_in(folder: Path) -> list[Path]:
    """The folders in `folder` that are named like runs, by name."""
    paths = [path for path in folder.glob("*") if RUN_NAME.fullmatch(path.name)]
    return sorted(path for path in paths if path.is_dir())


def _recommend(options) -> None:
    run, data = run_and_data(options)
    table = run.recommend(options.user, options.k, data=data)
    is_named = table["name"].any()
    print_table(table if is_named else table.drop(columns="name"))


def _export(options) -> None:
    from seapkg.runs.export import export

    run, data = run_and_data(options)
    for path in export(run, Path(options.out), options.k, data):
        print(path)


def run_and_data(options) -> tuple:
    """The run that a command names, and the dataset given with --data or None."""
    from seapkg.data import load
    from seapkg.runs.store import Store

    run = Store(options.store).get(options.run)
    return run, load(options.data) if options.data else None

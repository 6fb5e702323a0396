"""`models | runs | recommend | export`: shows systems and what finished runs hold."""

from pathlib import Path

from seapkg.commands.text import add_store, print_table, say


def add(commands) -> None:
    """Adds the commands."""
    models = commands.add_parser("models", help="list the models and their options")
    models.set_defaults(command=_models)
    runs = commands.add_parser("runs", help="list the finished runs")
    add_store(runs)
    runs.set_defaults(command=_runs)
    _add_recommend(commands)
    _add_export(commands)


def _add_recommend(commands) -> None:
    recommend = commands.add_parser("recommend", help="new items for a user of a finished run")
    _add_run(recommend)
    recommend.add_argument("--user", type=int, required=True, metavar="ID")
    recommend.add_argument("-k", type=int, default=10, metavar="N", help="how many; default: 10")
    recommend.set_defaults(command=_recommend)


def _add_export(commands) -> None:
    export = commands.add_parser(
        "export", help="write vectors (.npz) and the best items of every user (CSV) of a run"
    )
    _add_run(export)
    export.add_argument("--out", default=".", metavar="DIR", help="where to; default: here")
    export.add_argument("-k", type=int, default=20, metavar="N", help="items a user; default: 20")
    export.set_defaults(command=_export)


def _add_run(command) -> None:
    command.add_argument("run", metavar="RUN", help="its name, its key, or the beginning of either")
    command.add_argument("--data", metavar="DIR|NAME", help="default: where the run read its data")
    add_store(command)


def _models(options) -> None:
    from seapkg.models import systems
    from seapkg.training import TrainingConfig

    for name, system in systems().items():
        model = system.model
        needs = "item features" if model.needs_features else "interactions only"
        year = f" ({system.year})" if system.year else ""
        print(f"{name}: {system.title}{year}; needs {needs}")
        _print_options(model.config_class)
        trained = ", ".join(f"{key}={value}" for key, value in model.training_defaults.items())
        print(f"    trained by default with {trained}\n" if trained else "")
    print("training, for every model")
    _print_options(TrainingConfig)


def _print_options(config_class: type) -> None:
    """Prints a line per option: name, default, type with bounds, meaning."""
    from seapkg.options import describe_options

    config = config_class()
    for option in describe_options(config_class):
        default = getattr(config, option.name)
        note = ", follows other options" if option.default is None else ""
        form = " | ".join(option.choices or (kind.__name__ for kind in option.kinds))
        limits = _bounds(config_class.__pydantic_fields__[option.name].metadata)
        print(f"    {option.name} = {default}{note}  ({form}{limits})  {option.meaning}")


def _bounds(constraints: list) -> str:
    """ ", >= 0, < 1" from pydantic's constraints of a field."""
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


def _recommend(options) -> None:
    table = _run(options).recommend(options.user, options.k, data=_data(options))
    named = (table["name"] != "").any()
    print_table(table if named else table.drop(columns="name"))


def _export(options) -> None:
    from seapkg.runs.export import export

    for path in export(_run(options), Path(options.out), options.k, _data(options)):
        print(path)


def _run(options):
    from seapkg.runs.store import Store

    return Store(options.store).get(options.run)


def _data(options):
    from seapkg.data import load

    return load(options.data) if options.data else None

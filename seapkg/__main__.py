"""The command line: `python -m seapkg train | models | data | recommend | runs`.

Results go to stdout, progress and remarks to stderr. Exit codes: 0 done, 2 the request or the data
is wrong (one clear line), 1 a fault, 130 interrupted.
"""

import argparse
import json
import logging
import os
import sys

from seapkg.errors import RequestError, SeapkgError

INTERRUPTED, BROKEN_PIPE = 130, 141  # as shells count them: 128 + the signal


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    logging.basicConfig(format="seapkg: %(message)s", stream=sys.stderr, level=logging.WARNING)
    options = parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except SeapkgError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say(
            "interrupted; the same command goes on from the last checkpoint, if there is one",
            INTERRUPTED,
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return _say(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        from seapkg.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        return _say(f"out of memory ({error or 'Python says no more'})", 1)
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    root = argparse.ArgumentParser(prog="seapkg", description=__doc__.split("\n")[0])
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    models = commands.add_parser("models", help="list the models and their options")
    models.set_defaults(command=_models)
    _add_data(commands)
    _add_recommend(commands)
    runs = commands.add_parser("runs", help="list the finished runs")
    _add_store(runs)
    runs.set_defaults(command=_runs)
    return root


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train", help="train a model; the last line of stdout is a JSON record of the run"
    )
    train.add_argument("model", metavar="MODEL", help="its name; `models` lists them")
    train.add_argument(
        "--data", required=True, metavar="DIR|NAME", help="a folder or a dataset's name"
    )
    train.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="options of the model",
    )
    train.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    train.add_argument("--epochs", type=int, metavar="N", help="the most epochs; sets max_epochs")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: auto")
    train.add_argument("--precision", default="exact", help="exact (default) or fast")
    _add_store(train)
    train.set_defaults(command=_train)


def _add_data(commands) -> None:
    actions = commands.add_parser("data", help="look at data, or fetch it").add_subparsers(
        required=True, metavar="ACTION"
    )
    check = actions.add_parser("check", help="read a folder as training would, and describe it")
    check.add_argument("data", metavar="DIR", help="a folder or a dataset's name")
    check.set_defaults(command=_check)
    _add_prepare(actions)
    get = actions.add_parser("get", help="fetch a registered dataset")
    get.add_argument("name", metavar="NAME", help="baby, sports, clothing, lfm2k or tiktok")
    get.add_argument("--features", default="original", help="original (default), surrogate or none")
    get.add_argument("--folder", metavar="DIR", help="where to put it; default: data/NAME")
    get.add_argument("--offline", action="store_true", help="download nothing; check what is there")
    get.set_defaults(command=_get)


def _add_prepare(actions) -> None:
    prepare = actions.add_parser("prepare", help="make a dataset from raw Amazon-2014 files")
    prepare.add_argument(
        "raw", metavar="RAW", help="the folder with reviews_*.json.gz or ratings_*.csv, and more"
    )
    prepare.add_argument("out", metavar="OUT", help="the folder to make")
    prepare.add_argument(
        "--core",
        type=int,
        default=5,
        metavar="N",
        help="fewest pairs of a user or item; default: 5",
    )
    prepare.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the split; default: 0"
    )
    prepare.add_argument(
        "--text-encoder", default="tfidf", help="tfidf (default), or minilm, which seapkg[text] has"
    )
    prepare.set_defaults(command=_prepare)


def _add_recommend(commands) -> None:
    recommend = commands.add_parser("recommend", help="new items for a user of a finished run")
    recommend.add_argument(
        "run", metavar="RUN", help="its name, its key, or the beginning of either"
    )
    recommend.add_argument("--user", type=int, required=True, metavar="ID")
    recommend.add_argument(
        "--data", metavar="DIR|NAME", help="its dataset; default: where the run read it"
    )
    recommend.add_argument("-k", type=int, default=10, metavar="N", help="how many; default: 10")
    _add_store(recommend)
    recommend.set_defaults(command=_recommend)


def _add_store(command) -> None:
    command.add_argument(
        "--store", metavar="DIR", help="where runs are kept; default: $SEAPKG_STORE or results/runs"
    )


def _train(options) -> None:
    from seapkg.runs import locations
    from seapkg.runs.store import Store
    from seapkg.runs.train import carry_out, plan

    values = settings(options.set, options.epochs)
    store = Store(
        options.store or locations.store_root()
    )  # no reference: who trains wants the model
    planned = plan(
        options.model, options.data, seed=options.seed, precision=options.precision, **values
    )
    run = store.find(planned.spec)
    if run is not None:
        _say(f"{run.name} is in {store.root} already; nothing was trained")
    else:
        run = carry_out(planned, store, device=options.device)
    print(json.dumps(run.summary(), allow_nan=False))


def settings(pairs: list[str], epochs: int | None = None) -> dict[str, str | int]:
    """`["a=1", "b=x"]` as a dictionary; `epochs` sets `max_epochs`. An option given twice is an error."""
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
        raise RequestError("--epochs and --set max_epochs say the same thing; give one of them")
    return {**values, "max_epochs": epochs}


def _models(options) -> None:
    from seapkg.runs.listing import models_text

    print(models_text())


def _check(options) -> None:
    from seapkg.data import describe, load
    from seapkg.data.describe import feature_similarity, table_1, warnings_about
    from seapkg.runs.listing import text_table

    data = load(options.data)
    tables = [describe(data), table_1(data), feature_similarity(data)]
    print("\n\n".join(text_table(table) for table in tables if len(table)))
    for warning in warnings_about(data):
        print(f"warning: {warning}")


def _prepare(options) -> None:
    from seapkg.prepare.amazon import prepare

    chosen = {"core": options.core, "seed": options.seed, "text_encoder": options.text_encoder}
    record = prepare(options.raw, options.out, **chosen)
    print(json.dumps(record["counts"]))
    _say(f"{options.out} is ready; `data check {options.out}` describes it")


def _get(options) -> None:
    from pathlib import Path

    from seapkg.data.catalogue import entry
    from seapkg.data.download import get
    from seapkg.prepare.surrogate import make_surrogates
    from seapkg.runs.locations import data_root

    chosen = entry(options.name)
    folder = Path(options.folder) if options.folder else data_root() / options.name
    _say(f"{chosen.name}: {chosen.about}. Terms: {chosen.terms}.")
    _say(f"features: {options.features}; into {folder}")
    get(chosen, folder, features=options.features, offline=options.offline)
    if options.features == "surrogate":
        make_surrogates(chosen, folder)
    print(folder)


def _recommend(options) -> None:
    from seapkg.data import load
    from seapkg.runs.listing import text_table
    from seapkg.runs.store import Store

    data = load(options.data) if options.data else None
    table = Store(options.store).get(options.run).recommend(options.user, options.k, data=data)
    named = (table["name"] != "").any()
    print(text_table(table if named else table.drop(columns="name")))


def _runs(options) -> None:
    from seapkg.runs.listing import runs_frame, text_table
    from seapkg.runs.store import Store

    store = Store(options.store)
    runs = store.list()
    if runs:
        print(text_table(runs_frame(runs)))
    else:
        _say(f"no runs in {store.root} yet")
    for name, reason in store.failures().items():
        _say(f"{name} failed: {reason}")


def _say(message: str, code: int = 0) -> int:
    print(f"seapkg: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""`data check | get | prepare`: describes, downloads and makes datasets."""

import json
from pathlib import Path

from seapkg.commands.text import print_table, say


def add(commands) -> None:
    """Adds the group `data`."""
    group = commands.add_parser("data", help="describe, download or make a dataset")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read a folder as training would, and describe it")
    check.add_argument("data", metavar="DIR", help="a folder or a dataset's name")
    check.set_defaults(command=_check)
    _add_get(actions)
    _add_prepare(actions)


def _add_get(actions) -> None:
    get = actions.add_parser("get", help="download a registered dataset")
    get.add_argument("name", metavar="NAME", help="baby, sports, clothing, lfm2k or tiktok")
    get.add_argument("--features", default="original", help="original (default), surrogate or none")
    get.add_argument("--folder", metavar="DIR", help="where to put it; default: data/NAME")
    get.add_argument("--offline", action="store_true", help="only check the files that are there")
    get.set_defaults(command=_get)


def _add_prepare(actions) -> None:
    prepare = actions.add_parser("prepare", help="make a dataset from raw Amazon-2014 files")
    prepare.add_argument(
        "raw", metavar="RAW", help="the folder with reviews_*.json.gz or ratings_*.csv"
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
        "--text-encoder",
        default="tfidf",
        help="tfidf (default), or minilm, which needs seapkg[text]",
    )
    prepare.set_defaults(command=_prepare)


def _check(options) -> None:
    from seapkg.data import describe, load
    from seapkg.data.describe import feature_similarity, warnings_about

    data = load(options.data)
    for table in (describe(data), feature_similarity(data)):
        if len(table):
            print_table(table)
            print()
    for warning in warnings_about(data):
        print(f"warning: {warning}")


def _get(options) -> None:
    from seapkg.data.catalogue import entry
    from seapkg.data.download import get
    from seapkg.prepare.surrogate import make_surrogates
    from seapkg.runs.locations import data_root

    chosen = entry(options.name)
    folder = Path(options.folder) if options.folder else data_root() / options.name
    say(f"{options.name}: {chosen.about}. Terms: {chosen.terms}.")
    say(f"features: {options.features}; into {folder}")
    get(chosen, folder, features=options.features, offline=options.offline)
    if options.features == "surrogate":
        make_surrogates(chosen, folder)
    print(folder)


def _prepare(options) -> None:
    from seapkg.prepare.amazon import prepare

    record = prepare(
        options.raw,
        options.out,
        core=options.core,
        seed=options.seed,
        text_encoder=options.text_encoder,
    )
    print(json.dumps(record["counts"]))
    say(f"{options.out} is ready; `data check {options.out}` describes it")

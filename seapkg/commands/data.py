"""`data check | get | prepare`: describes, downloads and makes datasets."""

import json
from pathlib import Path

from seapkg.commands.text import add_command, print_table, say


def add(commands) -> None:
    """Adds the group `data`."""
    group = commands.add_parser("data", help="describe, download or make a dataset")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    check = add_command(actions, "check", _check, "read and describe a dataset, list its problems")
    check.add_argument("data", metavar="DIR", help="a folder or a dataset's name")
    option = add_command(actions, "get", _get, "download a registered dataset").add_argument
    option("name", metavar="NAME", help="baby, sports, clothing, lfm2k or tiktok")
    option("--features", default="original", help="original (default), surrogate or none")
    option("--folder", metavar="DIR", help="target folder; default: data/NAME")
    option("--offline", action="store_true", help="check the files; download nothing")
    summary = "make a dataset from raw Amazon-2014 files"
    option = add_command(actions, "prepare", _prepare, summary).add_argument
    option("raw", metavar="RAW", help="the folder with reviews_*.json.gz or ratings_*.csv")
    option("out", metavar="OUT", help="the folder to make")
    option("--core", type=int, default=5, metavar="N", help="of the k-core; default: 5")
    option("--seed", type=int, default=0, metavar="N", help="of the split; default: 0")
    option("--text-encoder", default="tfidf", help="tfidf (default), or minilm (seapkg[text])")


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

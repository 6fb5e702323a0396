"""`claims`: the claims of both papers and their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seapkg.commands.text import add_command, print_table, say
from seapkg.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

    from seapkg.data import Dataset
    from seapkg.runs.store import Store
    from seapkg.studies.claims import Claim

HOLM = "Holm's p, "  # the beginning of the columns of p-values


def add(commands) -> None:
    """Adds the command."""
    summary = "print the papers' claims with their verdicts, or test one claim"
    shared = ("--epochs", "--workers", "--scheduler", "--store")
    option = add_command(commands, "claims", _claims, summary, *shared).add_argument
    option("name", nargs="?", metavar="NAME", help="one claim, with its numbers; default: all")
    about = "a folder or a dataset's name: train what the claim lacks there"
    option("--data", metavar="DIR|NAME", help=about)


def _claims(options) -> int:
    from seapkg.data import load
    from seapkg.runs import locations
    from seapkg.runs.store import Store
    from seapkg.studies import claims

    store = Store(options.store, reference=locations.reference_root())
    if options.name is None:
        if options.data or options.epochs:
            raise RequestError("--data and --epochs need the name of a claim")
        print(claims.markdown(store))
        return 0
    claim = claims.find(options.name)
    say(f"{claim.name}: {claim.statement}")
    if claim.check and not options.data:
        verdict, evidence = claims.verdict_of_check(claim)
        print(f"{claim.name}: {verdict} ({evidence})")
        return 0
    data = load(options.data) if options.data else None
    return _test(claim, store, data, options)


def _test(claim: Claim, store: Store, data: Dataset | None, options) -> int:
    """Trains what the claim lacks on `data`, or nothing without `data`; prints its verdicts."""
    from seapkg.runs.sweep import sweep
    from seapkg.studies.claims import verdicts
    from seapkg.studies.families import FAMILIES

    study, failures = claim.study(data, options.epochs), []
    if data is not None:
        plans = claim.needed(study, data.name)
        failures = sweep(plans, store, workers=options.workers, scheduler=options.scheduler)
    results = study.runs(store, offline=True)
    datasets = [data.name] if data is not None else list(study.data)
    table = FAMILIES[claim.family].table(results)
    rows = claim.rows(table)
    if len(rows):
        print_table(_narrow(rows[rows["dataset"].isin(datasets)]))
    for dataset, verdict in verdicts(claim, table, datasets).items():
        print(f"{claim.name} on {dataset}: {verdict}")
    return 1 if failures else 0


def _narrow(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns to print: reference minus change, p after Holm, the detectable difference."""
    p_values = {name: f"p, {name.removeprefix(HOLM)}" for name in rows if name.startswith(HOLM)}
    names = ["dataset", "system", "change", "difference", *p_values, "detectable", "seeds"]
    return rows[[name for name in names if name in rows]].rename(columns=p_values)

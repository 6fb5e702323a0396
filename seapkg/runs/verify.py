"""Trains a finished run again and compares: does this code give the recorded numbers?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from seapkg.data import Dataset
from seapkg.errors import RequestError
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.runs.recommend import dataset_of
from seapkg.runs.run import Run
from seapkg.training import Fit, fit

#: Of the largest value of a loss term. Sums in another order move a loss by some 1e-6 of itself in
#: the first epochs, and by more in later ones.
LOSS_TOLERANCE = 1e-3
#: A metric is a step function: one swapped pair of items moves a user's recall by a whole step.
METRIC_TOLERANCE = 5e-3
BITS, ROUNDING, DIFFERENT = "equal to the last bit", "equal to rounding", "different"


def verify(
    run: Run,
    *,
    epochs: int | None = None,
    data: Dataset | None = None,
    device: str = "auto",
    progress: bool = True,
) -> tuple[pd.DataFrame, str]:
    """Trains a run again, from the same spec, and compares its curves and metrics.

    Args:
        run: from a store, or a committed summary.
        epochs: trains and compares only the first so many epochs; test metrics are then left out.
        data: the run's dataset; read again from its source where not given.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: show progress on stderr.

    Returns:
        A table with a row per loss term and metric, largest deviation first: quantity, deviation
            (the largest over epochs) and tolerance; and the verdict: "equal to the last bit",
            "equal to rounding" (within the tolerance) or "different".

    Raises:
        RequestError: where the data is not here, or `epochs` is below 1.
    """
    if epochs is not None and epochs < 1:
        raise RequestError(f"epochs must be at least 1; it is {epochs}")
    dataset = dataset_of(run, data)
    config, training = configure(run.model, {**run.config, **run.training})
    is_short = epochs is not None and epochs < run.record["epochs"]
    if is_short:
        training = dataclasses.replace(training, max_epochs=epochs)
    trained = fit(
        build(run.model, dataset, config, run.seed),
        dataset,
        training,
        seed=run.seed,
        device=device,
        precision=run.spec.precision,
        progress=progress,
    )
    table = _curve_deviations(run.curves.head(epochs) if is_short else run.curves, trained)
    if not is_short:
        table = pd.concat([table, _test_deviations(run, trained)])
    if (table["deviation"] == 0).all():
        verdict = BITS
    else:
        is_within = (table["deviation"] <= table["tolerance"]).all()
        verdict = ROUNDING if is_within else DIFFERENT
    return table.sort_values("deviation", ascending=False, ignore_index=True), verdict


def _curve_deviations(recorded: pd.DataFrame, trained: Fit) -> pd.DataFrame:
    """The largest deviations over epochs; infinite where a value is missing on one side."""
    again = pd.DataFrame(trained.curves, columns=None if trained.curves else recorded.columns)
    recorded, again = (table.drop(columns=["epoch", "seconds"]) for table in (recorded, again))
    difference = (again - recorded).abs().fillna(np.inf)
    largest = recorded.abs().max().clip(lower=1e-3)  # a term near 0 is a difference of larger ones
    names = difference.columns
    is_loss = names.str.startswith("loss")
    tolerance = np.where(is_loss, LOSS_TOLERANCE * largest.reindex(names), METRIC_TOLERANCE)
    deviation = difference.max().fillna(0)  # there is no epoch
    table = {"quantity": names, "deviation": deviation.to_numpy(), "tolerance": tolerance}
    return pd.DataFrame(table)


def _test_deviations(run: Run, trained: Fit) -> pd.DataFrame:
    deviation = (pd.Series(trained.test) - pd.Series(run.test, dtype=float)).abs()
    table = deviation.add_prefix("test/").rename_axis("quantity").reset_index(name="deviation")
    return table.assign(tolerance=METRIC_TOLERANCE)

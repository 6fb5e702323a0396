"""Trains a finished run again and compares the results with the recorded ones."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from seapkg.data import Dataset
from seapkg.errors import RequestError
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.runs.recommend import dataset_of
from seapkg.runs.run import Run
from seapkg.training import fit

#: Relative to the largest value of a loss term. Another summation order changes a loss by about
#: 1e-6 in the first epochs, and by more in later ones.
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
        epochs: train and compare only the first ones, without test metrics; by default all.
        data: the run's dataset; by default read again from its source.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: show progress on stderr.

    Returns:
        A table with one row per loss term and metric, largest deviation first: quantity, deviation
            (the largest over epochs) and tolerance; and the verdict: "equal to the last bit",
            "equal to rounding" (within the tolerance) or "different".

    Raises:
        RequestError: the data is missing or has changed, or `epochs` is below 1.
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
    recorded = _values(run.curves.iloc[:epochs], {} if is_short else run.test)
    again = _values(trained.curves, {} if is_short else trained.test)
    table = _deviations(recorded, again)
    return table, _verdict(table)


def _values(curves: Iterable, test: Mapping[str, float]) -> pd.DataFrame:
    """The curves, one row per epoch, and a last row with the test metrics."""
    last = pd.DataFrame([test], dtype=float).add_prefix("test/")
    table = pd.concat([pd.DataFrame(curves), last], ignore_index=True)
    return table.drop(columns=["epoch", "seconds"], errors="ignore")


def _deviations(recorded: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """The largest deviation of each quantity over epochs; infinite where one side lacks a value."""
    recorded, again = recorded.align(again)
    is_lost = recorded.isna() != again.isna()
    deviation = (again - recorded).abs().mask(is_lost, np.inf).max()
    largest = recorded.abs().max().clip(lower=1e-3)  # a term near 0 is a difference of larger ones
    is_loss = recorded.columns.str.startswith("loss")
    tolerance = np.where(is_loss, LOSS_TOLERANCE * largest, METRIC_TOLERANCE)
    table = pd.DataFrame({"deviation": deviation, "tolerance": tolerance})
    table = table.rename_axis("quantity").dropna().sort_values("deviation", ascending=False)
    return table.reset_index()


def _verdict(table: pd.DataFrame) -> str:
    if (table["deviation"] == 0).all():
        return BITS
    return ROUNDING if (table["deviation"] <= table["tolerance"]).all() else DIFFERENT

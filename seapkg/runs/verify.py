"""Trains a finished run again and compares: does this code give the recorded numbers?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seapkg.data import Dataset
from seapkg.errors import RequestError
from seapkg.models import build
from seapkg.runs.configure import configure
from seapkg.runs.recommend import dataset_of
from seapkg.runs.run import METRICS, Run
from seapkg.training import Fit, fit

#: Of the largest value of a loss term. Sums in another order move a loss by some 1e-6 of itself in
#: the first epochs, and by more in later ones.
LOSS_TOLERANCE = 1e-3
#: A metric is a step function: one swapped pair of items moves a user's recall by a whole step.
METRIC_TOLERANCE = 5e-3
BITS, ROUNDING, DIFFERENT = "equal to the last bit", "equal to rounding", "different"


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`.

    Attributes:
        deviations: a row per loss term and metric, largest first: quantity, deviation (the largest
            over epochs), epoch (where), tolerance.
        verdict: "equal to the last bit", "equal to rounding" (within the tolerance) or "different".
    """

    deviations: pd.DataFrame
    verdict: str


def verify(
    run: Run,
    *,
    epochs: int | None = None,
    data: Dataset | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Verification:
    """Trains a run again, from the same spec, and compares its curves and metrics.

    Args:
        run: from a store, or a committed summary.
        epochs: trains and compares only the first so many epochs; test metrics are then left out.
        data: the run's dataset; read again from its source where not given.

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
    table = _deviations(run, trained, with_test=not is_short)
    deviation = table["deviation"]
    verdict = ROUNDING if (deviation <= table["tolerance"]).all() else DIFFERENT
    return Verification(table, BITS if (deviation == 0).all() else verdict)


def _deviations(run: Run, trained: Fit, *, with_test: bool) -> pd.DataFrame:
    names = run.curves.columns.difference(["epoch", "seconds"], sort=False)
    recorded, again = run.curves[names], pd.DataFrame(trained.curves, columns=names)
    difference = (again - recorded).abs()  # not a number beyond the shorter of the two
    largest = np.maximum(recorded.abs().max(), 1e-3)  # a term near 0 is a difference of larger ones
    is_loss = names.str.startswith("loss")
    table = pd.DataFrame(
        {
            "quantity": names,
            "deviation": difference.max().to_numpy(),
            "epoch": difference.fillna(0).idxmax().to_numpy() if len(difference) else -1,
            "tolerance": np.where(is_loss, LOSS_TOLERANCE * largest, METRIC_TOLERANCE),
        }
    )
    if with_test:
        for name in METRICS:
            deviation = abs(trained.test[name] - run.test[name])
            row = (f"test/{name}", deviation, trained.best_epoch, METRIC_TOLERANCE)
            table.loc[len(table)] = row
    unknown = np.inf if len(difference) else 0.0  # a quantity that is no longer there
    table = table.fillna({"deviation": unknown})
    return table.sort_values("deviation", ascending=False, ignore_index=True)

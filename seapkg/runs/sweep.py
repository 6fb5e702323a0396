"""Trains many runs at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seapkg.errors import TrainingFault
from seapkg.runs.store import Store
from seapkg.runs.train import Plan, carry_out


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that failed: its name and the reason."""

    run: str
    reason: str


def sweep(
    plans: Iterable[Plan], store: Store, *, workers: int = 1, progress: bool = True
) -> list[Failure]:
    """Trains the runs that are neither in the store nor marked as failed. Returns the failures."""
    failures = []
    for plan in plans:
        if store.find(plan.spec) is not None or store.failure(plan.spec) is not None:
            continue
        try:
            carry_out(plan, store, progress=progress)
        except TrainingFault as fault:
            failures.append(Failure(plan.spec.name, str(fault)))
    return failures

"""Claims that are checked without training: simulations, formulas, and committed tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seapkg.analysis.statistics import LEVEL, detectable_difference
from seapkg.runs import locations
from seapkg.studies import paper


@dataclass(frozen=True)
class Comparison:
    """A comparison that a claim makes.

    Attributes:
        gain: the difference, above 0 where it agrees with the claim.
        p_values: after Holm's correction; () if there are fewer than two seeds.
        detectable: the smallest difference that would have been significant.
    """

    gain: float
    p_values: tuple[float, ...] = ()
    detectable: float = math.nan

    @property
    def is_significant(self) -> bool:
        return bool(self.p_values) and max(self.p_values) < 1 - LEVEL


@dataclass(frozen=True)
class Check:
    """What a check found: whether the claim holds, and the numbers in words.

    `comparisons` stand instead of `holds` where a statistical test decides; with a `margin`, the
    claim is that there is no difference, or none above it.
    """

    evidence: str
    holds: bool = False
    comparisons: tuple[Comparison, ...] = ()
    margin: float | None = None


def random_angles() -> Check:
    """Theorem 1: simulated angles against the density and the variance (Kolmogorov-Smirnov)."""
    from scipy import stats

    from seapkg.analysis import angles

    dimensions, generator = (2, 3, 4, 8, 16, 32, 64, 128), np.random.default_rng(0)
    p_values, ratios = [], []
    for n in dimensions:
        sampled = angles.sample_angles(n, 5000, generator)
        cdf = lambda theta, n=n: angles.angle_cdf(theta, np.full(len(theta), n))  # noqa: E731
        p_values.append(stats.kstest(sampled, cdf).pvalue)
        ratios.append(sampled.var() / float(angles.angle_variance(np.array([n]))[0]))
    evidence = f"smallest p of {len(dimensions)} dimensions {min(p_values):.2f}; "
    evidence += f"variance {min(ratios):.2f} to {max(ratios):.2f} of the formula's"
    return Check(evidence, holds=bool(min(p_values) > 0.05 / len(dimensions)))


def club_true() -> Check | None:
    """Eq. 14: CLUB with the true conditional, in the settings of notebook 03."""
    return _bounds("CLUB, true conditional", "upper")


def club_fitted() -> Check | None:
    """Eq. 15: CLUB with the published network, fitted on the pairs that it is evaluated on."""
    return _bounds("CLUB fitted, published q", "upper")


def info_nce() -> Check | None:
    """Eq. 16: InfoNCE, in the settings of notebook 03."""
    return _bounds("InfoNCE", "lower")


def club_divergences() -> Check:
    """Theorem 2: the fitted bound's excess equals the difference of the two divergences."""
    import torch

    from seapkg import club
    from seapkg.analysis import information

    generator, dim, amount = torch.Generator().manual_seed(0), 8, 1.0
    rho = information.correlation(amount, dim)
    x = torch.randn(4096, dim, generator=generator)
    y = information.correlated(x, rho, generator)
    q = information.fitted_conditional([(x, y)], hidden=8, steps=50, learning_rate=1e-2)
    joint, product = information.divergences(q, x, y, rho)
    excess, gap = float(club.club_exact(q, x, y)) - amount, product - joint
    evidence = f"excess over the truth {excess:+.1f} nats, difference of divergences {gap:+.1f}"
    return Check(evidence, holds=abs(excess - gap) < 0.1)


def solosim_without_negatives() -> Check:
    """The text of Eq. 16: whether the loss is the same when all items have one representation."""
    import torch

    from seapkg.losses import solosim

    apart, collapsed = torch.eye(32), torch.eye(32)[:1].expand(32, 32)
    losses = [float(solosim(x, x, 0.2)) for x in (apart, collapsed)]
    evidence = "with matched parts equal: {:.2f} if items differ, {:.2f} if all are the same"
    return Check(evidence.format(*losses), holds=math.isclose(*losses, rel_tol=1e-3))


def club_separates() -> Check | None:
    """Sec. 3: what CLUB adds to the selectivity of the parts, beyond alignment (notebook 10)."""
    return _selectivity("paper, SEAa")


def orthogonality_separates_nothing() -> Check | None:
    """Sec. 2: what the paradigm before SEA adds; the claim is nothing."""
    return _selectivity("paper, subtraction", margin=0.05)


def patience_on_clothing() -> Check:
    """Table 2: the authors' training log, stopped with patience 20."""
    logs = paper.training_logs().query("model == 'SEA' and dataset == 'clothing'")
    reached = paper.replay(logs, patience=20)["test/recall@20"]
    printed = paper.paper_numbers()["clothing", "sea", "recall@20"]
    evidence = f"the authors' log gives {reached:.4f} with patience 20"
    return Check(evidence, holds=math.isclose(reached, printed, abs_tol=5e-5))


def cost_of_club() -> Check | None:
    """Table 5: seconds of SEAa over those of SEAb on Baby, measured once (notebook 08)."""
    costs = _committed("costs")
    if costs is None:
        return None
    seconds = costs.set_index("system")["seconds"]
    printed = paper.paper_costs().query("dataset == 'baby'").set_index("system")["seconds"]
    here, there = (times["SEAa"] / times["SEAb"] for times in (seconds, printed))
    return Check(f"{here:.1f} times, printed {there:.1f}", holds=bool(0.8 <= here / there <= 1.25))


def text_equals_code() -> Check:
    """The options whose defaults differ between the formulations `paper` and `released`."""
    from seapkg.models.sea import SEAConfig

    text, code = (vars(SEAConfig(formulation=name)) for name in ("paper", "released"))
    different = [name for name in text if text[name] != code[name] and name != "formulation"]
    return Check(f"{len(different)} options differ", holds=not different)


CHECKS: dict[str, Callable[[], Check | None]] = {
    check.__name__: check
    for check in (
        random_angles,
        club_true,
        club_fitted,
        info_nce,
        club_divergences,
        solosim_without_negatives,
        club_separates,
        orthogonality_separates_nothing,
        patience_on_clothing,
        cost_of_club,
        text_equals_code,
    )
}


def _bounds(estimate: str, side: str) -> Check | None:
    counts = _committed("information_bounds_counts")
    if counts is None:
        return None
    row = counts.set_index("estimate").loc[estimate]
    held, n = row[f"{side} bound held"], row["of"]
    return Check(f"in {held} of {n} settings", holds=bool(held == n))


def _selectivity(method: str, margin: float | None = None) -> Check | None:
    added = _committed("known_factors_added")
    if added is None or method not in set(added["method"]):
        return None
    n_tests = int(added["Holm's p"].notna().sum())
    comparisons, words = [], []
    for row in added[added["method"] == method].to_dict("records"):
        tested = row["seeds"] > 1
        detectable = detectable_difference(row["interval"], row["seeds"], max(n_tests, 1))
        p_values = (row["Holm's p"],) if tested else ()
        comparisons.append(Comparison(row["adds"], p_values, detectable))
        words.append(f"{row['part']} {row['adds']:+.3f}")
    return Check("adds " + ", ".join(words), comparisons=tuple(comparisons), margin=margin)


def _committed(name: str) -> pd.DataFrame | None:
    """A table of the profile `laptop`, as committed; None if it is missing."""
    path = locations.project_root() / "figures" / "laptop" / f"{name}.csv"
    return pd.read_csv(path) if path.is_file() else None

"""Separate learning as a part that any model can plug in: split, align the generic parts, drive generic from unique.

A model hands over, per modality, a generic and a unique part [n_items, d]; it gets back two weighted loss terms.
The parts must enter the model's score, or the losses cannot change a ranking (spec A.10).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg import losses
from seapkg.club import ConditionalFit, GaussianConditional, club_exact, club_sampled
from seapkg.errors import RequestError
from seapkg.models.base import Recommender
from seapkg.old_options import check_choice, check_numbers
from seapkg.state import adam_state, load_adam_state, under

log = logging.getLogger(__name__)

ALL = "all modalities"  # the owner of a shared network; no modality is called so
ALIGNMENTS = {"solosim": losses.solosim, "info_nce": losses.info_nce, "positives": losses.positives}


@dataclass(frozen=True)
class SeparationConfig:
    """How generic parts are aligned (α, τ) and kept from unique ones (β). Weight 0 or "none" switches a part off.

    alignment: "solosim" (Eq. 16), "info_nce" (both directions), "positives" (no negatives) or "none".
    alignment_items: "all" items (the paper), or "batch": the positive items of the batch.
    distancing: "club" (MIM, Eq. 15), "negative_l2" (Eq. 30), "orthogonal" (the paradigm the paper argues against) or
        "none".
    club_pairs: "within" fits q on the generic→unique pairs the bound is evaluated on; "across" on generic→generic
        and unique→unique of two modalities, as the released code does (spec A.12.2).
    club_shared: one network for all modalities, instead of one each.
    club_estimate: "exact" (all pairs) or "sampled" (one permutation).
    club_half, club_clamp: halve the estimate once more, cut it off at 0 (both as released).
    club_average: average the modalities' terms (as released) instead of adding them (Eq. 19).
    l2_mean: negative_l2 takes the mean over coordinates (as sketched in the released code) instead of the sum.
    """

    alignment: str = "none"
    alignment_weight: float = 0.1
    alignment_items: str = "all"
    temperature: float = 0.2
    head_hidden: int = 64
    head_out: int = 32
    distancing: str = "none"
    distancing_weight: float = 0.01
    club_pairs: str = "within"
    club_shared: bool = False
    club_estimate: str = "exact"
    club_half: bool = False
    club_clamp: bool = False
    club_average: bool = False
    l2_mean: bool = False
    club_hidden: int = 8
    club_steps: int = 50
    club_learning_rate: float = 1e-4

    @property
    def aligns(self) -> bool:
        return self.alignment != "none" and self.alignment_weight != 0

    @property
    def distances(self) -> bool:
        return self.distancing != "none" and self.distancing_weight != 0

    @property
    def separates(self) -> bool:
        return self.aligns or self.distances

    def __post_init__(self) -> None:
        check_choice("alignment", self.alignment, [*ALIGNMENTS, "none"])
        check_choice("alignment_items", self.alignment_items, ["all", "batch"])
        check_choice("distancing", self.distancing, ["club", "negative_l2", "orthogonal", "none"])
        check_choice("club_pairs", self.club_pairs, ["within", "across"])
        check_choice("club_estimate", self.club_estimate, ["exact", "sampled"])
        check_numbers(self)
        if self.club_pairs == "across" and not self.club_shared:
            raise RequestError(
                "club_pairs=across fits one network for all modalities: set club_shared=true as well"
            )


@dataclass(frozen=True)
class Parts:
    """What separation needs of one modality: `generic`, `unique` [I, d/2], and `hidden`, the generic part after the
    alignment head's first layer [I, head_hidden] (None without a head)."""

    generic: Tensor
    unique: Tensor
    hidden: Tensor | None


class AlignmentHead(nn.Module):
    """dim → hidden → hidden → out with batch norm and ReLU between, rows scaled to unit norm (spec A.3).

    `first` stands apart from `rest`, so that a linear map in front of it can be folded in. Linear layers in front
    of a batch norm have no bias: its gradient is zero (spec A.12.13). Batch statistics are used at all times:
    the batch is the aligned items, and evaluation never reads the views.
    """

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(dim, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.BatchNorm1d(hidden, track_running_stats=False), nn.ReLU(),
            nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden, track_running_stats=False), nn.ReLU(),
            nn.Linear(hidden, out),
        )  # fmt: skip

    def forward(self, generic: Tensor) -> Tensor:
        """`generic`: [n, dim]. Returns unit rows [n, out]."""
        return self.finish(self.first(generic))

    def finish(self, hidden: Tensor) -> Tensor:
        """From the first layer's output [n, hidden] to unit rows [n, out]."""
        return F.normalize(self.rest(hidden), dim=1)


class Separation(nn.Module):
    """Alignment heads, CLUB networks and the two loss terms.

    Args:
        head_widths: modality → width of what its alignment head reads; order matters: in every pair of modalities
            the later one gives the rows of Solosim (text, as released), the earlier one the columns (image).
        part_width: width of the parts that distancing compares.
        config: a `SeparationConfig`.
    """

    def __init__(
        self, head_widths: dict[str, int], part_width: int, config: SeparationConfig
    ) -> None:
        super().__init__()
        self.config, self.modalities = config, tuple(head_widths)
        sizes = config.head_hidden, config.head_out
        alone = len(head_widths) == 1
        if config.aligns and alone:
            log.warning("%s is the only modality: there is none to align it with", *head_widths)
        aligned = head_widths if config.aligns and not alone else {}
        self.heads = nn.ModuleDict(
            {name: AlignmentHead(width, *sizes) for name, width in aligned.items()}
        )
        owners = (ALL,) if config.club_shared else self.modalities
        fitted = owners if config.distances and config.distancing == "club" else ()
        self.conditionals = nn.ModuleDict(
            {n: GaussianConditional(part_width, config.club_hidden) for n in fitted}
        )
        self._fits: dict[str, ConditionalFit] | None = None
        self._views: dict[str, tuple[Tensor, Tensor]] | None = None

    def head(self, name: str) -> AlignmentHead | None:
        return self.heads[name] if name in self.heads else None

    def split(self, name: str, generic: Tensor, unique: Tensor) -> Parts:
        """The parts of one modality from its two halves [n_items, d/2]."""
        head = self.head(name)
        return Parts(generic, unique, None if head is None else head.first(generic))

    def losses(
        self, parts: dict[str, Parts], items, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """The weighted terms "alignment" and "distancing", as far as they are switched on.

        `items`: the rows that are aligned, an index or a slice; distancing takes all.
        """
        terms = {}
        if self.heads:
            hidden = {name: parts[name].hidden[items] for name in self.modalities}
            terms["alignment"] = self.config.alignment_weight * self._alignment(hidden)
        if self.config.distances:
            terms["distancing"] = self.config.distancing_weight * self._distancing(parts, generator)
        return terms

    def named(self, parts: dict[str, Parts]) -> dict[str, Tensor]:
        """ "modality/generic", "modality/unique" and, with a head, "modality/aligned" → [n_items, width]."""
        named = {}
        for name, part in parts.items():
            named[f"{name}/generic"], named[f"{name}/unique"] = part.generic, part.unique
            if part.hidden is not None:
                named[f"{name}/aligned"] = self.heads[name].finish(part.hidden)
        return named

    def fit_conditionals(self) -> None:
        """Fits q on the parts of the last `losses` call, before the main step moves them."""
        if not self.conditionals or self._views is None:
            return
        for name, fit in self._running_fits().items():
            fit.fit(self._fit_pairs(name), self.config.club_steps)

    def fit_state(self) -> dict[str, Tensor]:
        """The moments of the fits' Adam, "network/quantity"; nothing before the first fit."""
        return {
            f"{name}/{key}": value
            for name, fit in (self._fits or {}).items()
            for key, value in adam_state(fit.optimiser).items()
        }

    def load_fit_state(self, state: dict[str, Tensor]) -> None:
        for name, fit in self._running_fits().items() if state else ():
            load_adam_state(fit.optimiser, under(name, state))

    def _running_fits(self) -> dict[str, ConditionalFit]:
        if self._fits is None:
            rate = self.config.club_learning_rate
            self._fits = {name: ConditionalFit(q, rate) for name, q in self.conditionals.items()}
        return self._fits

    def _alignment(self, hidden: dict[str, Tensor]) -> Tensor:
        if any(
            len(part) < 2 for part in hidden.values()
        ):  # one item has no batch statistics, and nobody to be told from
            return sum(part.sum() for part in hidden.values()) * 0
        align = ALIGNMENTS[self.config.alignment]
        views = {name: self.heads[name].finish(part) for name, part in hidden.items()}
        pairs = list(combinations(self.modalities, 2))
        return sum(
            align(views[late], views[early], self.config.temperature) for early, late in pairs
        ) / len(pairs)

    def _distancing(self, parts: dict[str, Parts], generator) -> Tensor:
        if self.config.distancing == "club":
            return self._club(parts, generator)
        if self.config.distancing == "negative_l2":
            return self._negative_l2(parts)
        return sum(
            losses.orthogonality(part.generic, part.unique) for part in parts.values()
        ) / len(parts)

    def _club(self, parts: dict[str, Parts], generator) -> Tensor:
        self._views = {
            name: (part.generic.detach(), part.unique.detach()) for name, part in parts.items()
        }
        total = sum(
            self._bound(name, part.generic, part.unique, generator) for name, part in parts.items()
        )
        return total / len(parts) if self.config.club_average else total

    def _bound(self, name: str, generic: Tensor, unique: Tensor, generator) -> Tensor:
        q = self.conditionals[ALL if self.config.club_shared else name]
        if self.config.club_estimate == "exact":
            bound = club_exact(q, generic, unique)
        else:
            order = torch.randperm(len(unique), generator=generator, device=unique.device)
            bound = club_sampled(q, generic, unique, order)
        bound = bound / 2 if self.config.club_half else bound
        return bound.clamp(min=0) if self.config.club_clamp else bound

    def _negative_l2(self, parts: dict[str, Parts]) -> Tensor:
        total = sum(losses.negative_l2(part.generic, part.unique) for part in parts.values()) / len(
            parts
        )
        return total / next(iter(parts.values())).generic.shape[1] if self.config.l2_mean else total

    def _fit_pairs(self, name: str) -> list[tuple[Tensor, Tensor]]:
        """The (x, y) pairs that the network `name` is fitted on; a single modality has none but its own."""
        if self.config.club_pairs == "across" and len(self.modalities) > 1:
            pairs = combinations(self.modalities, 2)
            return [
                (self._views[late][k], self._views[early][k])
                for early, late in pairs
                for k in (0, 1)
            ]
        return list(self._views.values()) if name == ALL else [self._views[name]]


class Separating(Recommender):
    """A recommender that has a `Separation` as `self.separation`: its second optimiser is that of the CLUB fits."""

    separation: Separation

    def fit_auxiliary(self) -> None:
        self.separation.fit_conditionals()

    def auxiliary_state(self) -> dict[str, Tensor]:
        return self.separation.fit_state()

    def load_auxiliary_state(self, state: dict[str, Tensor]) -> None:
        self.separation.load_fit_state(state)

"""Separate learning as a part that any model can plug in: split, align the generic parts, drive generic from unique.

A model hands over, per modality, a generic and a unique part [n_items, d]; it gets back two weighted loss terms.
The parts must enter the model's score, or the losses cannot change a ranking (spec A.10).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg import losses
from seapkg.club import ConditionalFit, GaussianConditional, club_exact, club_sampled
from seapkg.errors import RequestError
from seapkg.models.base import Recommender
from seapkg.options import configuration, option

log = logging.getLogger(__name__)

ALL = "all modalities"  # the owner of a shared network; no modality is called so
ALIGNMENTS = {"solosim": losses.solosim, "info_nce": losses.info_nce, "positives": losses.positives}


@configuration
class SeparationConfig:
    """Options of separate learning; weight 0 or "none" switches a part off."""

    alignment: Literal["solosim", "info_nce", "positives", "none"] = option(
        "none", "Alignment of the generic parts: Solosim, InfoNCE, positive pairs only, or none."
    )
    alignment_weight: float = option(0.1, "Weight α of the alignment.", ge=0)
    alignment_items: Literal["all", "batch"] = option(
        "all", "Align all items, or the positive items of the batch."
    )
    temperature: float = option(0.2, "Temperature τ of the alignment.", gt=0)
    head_hidden: int = option(64, "Hidden units of the alignment head.", ge=1)
    head_out: int = option(32, "Output width of the alignment head.", ge=1)
    distancing: Literal["club", "negative_l2", "orthogonal", "none"] = option(
        "none", "Distance of generic and unique parts: CLUB, negative L2, orthogonality, or none."
    )
    distancing_weight: float = option(0.01, "Weight β of the distancing.", ge=0)
    club_pairs: Literal["within", "across"] = option(
        "within",
        "Fit CLUB's network on generic and unique parts of a modality, or across modalities.",
    )
    club_shared: bool = option(False, "Use one CLUB network for all modalities.")
    club_estimate: Literal["exact", "sampled"] = option(
        "exact", "Estimate CLUB from all pairs, or from one permutation."
    )
    club_half: bool = option(False, "Halve the CLUB estimate once more, as released.")
    club_clamp: bool = option(False, "Cut the CLUB estimate off at 0, as released.")
    club_average: bool = option(
        False, "Average the modalities' CLUB terms, as released, instead of adding them."
    )
    l2_mean: bool = option(
        False, "Average the negative L2 distance over coordinates instead of adding them."
    )
    club_hidden: int = option(8, "Hidden units of CLUB's network.", ge=1)
    club_steps: int = option(50, "Steps of CLUB's fit in each batch.", ge=0)
    club_learning_rate: float = option(1e-4, "Learning rate of CLUB's fit.", gt=0)

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
        if self.club_pairs == "across" and not self.club_shared:
            raise RequestError(
                "club_pairs=across fits one network for all modalities: set club_shared=true as well"
            )


def check_halves(config) -> None:
    """Raises RequestError where an odd `embed_dim` would be split in a generic and a unique half."""
    if config.embed_dim % 2 and config.separates:
        raise RequestError(
            f"option embed_dim must be even where it is split in two halves; it is {config.embed_dim}"
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

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimiser of each network's fit."""
        return {name: fit.optimiser for name, fit in self._running_fits().items()}

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
    """A recommender with a `Separation`, whose auxiliary optimisers fit CLUB's networks."""

    separation: Separation

    def fit_auxiliary(self) -> None:
        self.separation.fit_conditionals()

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return self.separation.optimisers()

    def content_parts(self, by_modality: dict[str, Tensor]) -> dict[str, Parts]:
        """Splits each modality's content [n_items, dim] in a generic and a unique half."""
        return {
            name: self.separation.split(name, *content.chunk(2, dim=1))
            for name, content in by_modality.items()
        }

    def separation_terms(self, parts: dict[str, Parts], positives: Tensor) -> dict[str, Tensor]:
        """The separation terms of a batch.

        Args:
            parts: modality -> parts of all items.
            positives: int64 [batch], the items to align where `alignment_items` is "batch".
        """
        every_item = self.config.alignment_items == "all"
        items = slice(None) if every_item else positives.unique()
        return self.separation.losses(parts, items, self.generator)

"""Separate learning for any model: split items, align generic parts, move unique parts away.

A model passes, per modality, a generic and a unique part [n_items, d] and gets two weighted loss
terms. The parts must enter the model's score; otherwise the losses cannot change a ranking.
"""

import logging
from functools import cached_property
from itertools import combinations
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.club import GaussianConditional, club_exact, club_sampled
from seapkg.errors import RequestError
from seapkg.kernels.blocked_softmax import info_nce, solosim
from seapkg.kernels.club_fit import ConditionalFit
from seapkg.losses import negative_l2, orthogonality, positives
from seapkg.models.base import NamedTensors, Recommender
from seapkg.options import configuration, option

log = logging.getLogger(__name__)

ALL = "all modalities"  # name of the shared network; a modality's name has no space
ALIGNMENTS = {"solosim": solosim, "info_nce": info_nce, "positives": positives}
Alignment = Literal["solosim", "info_nce", "positives", "none"]
Distancing = Literal["club", "negative_l2", "orthogonal", "subtraction", "none"]
DISTANCES = {"negative_l2": negative_l2, "orthogonal": orthogonality}


@configuration
class SeparationConfig:
    """Options of separate learning; weight 0 or "none" switches a part off."""

    embed_dim: int = option(64, "Width of the embeddings and of the projected features.", ge=1)
    alignment: Alignment = option(
        "none", "Alignment of the generic parts: Solosim, InfoNCE, positive pairs only, or none."
    )
    alignment_weight: float = option(0.1, "Weight α of the alignment.", ge=0)
    alignment_items: Literal["all", "batch"] = option(
        "all", "Align all items, or the positive items of the batch."
    )
    temperature: float = option(0.2, "Temperature τ of the alignment.", gt=0)
    head_hidden: int = option(64, "Hidden units of the alignment head.", ge=1)
    head_out: int = option(32, "Output width of the alignment head.", ge=1)
    distancing: Distancing = option(
        "none",
        "Distance of generic and unique parts: CLUB, negative L2, orthogonality, or none; or "
        "subtraction: unique = whole - generic, orthogonal between modalities (SEA Sec. 2).",
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
    def aligns(self):
        """Whether there is an alignment loss."""
        return self.alignment != "none" and self.alignment_weight != 0

    @property
    def distances(self):
        """Whether there is a distancing loss."""
        return self.distancing != "none" and self.distancing_weight != 0

    @property
    def separates(self):
        """Whether there is any loss of separate learning."""
        return self.aligns or self.distances

    @property
    def subtracts(self):
        """Whether the unique part is the whole minus the generic part."""
        return self.distances and self.distancing == "subtraction"

    def __post_init__(self):
        if self.club_pairs == "across" and not self.club_shared:
            raise RequestError(
                "club_pairs=across fits one network for all modalities: set club_shared=true too"
            )
        if self.embed_dim % 2 and self.separates:
            raise RequestError(
                f"option embed_dim must be even, as it is split in halves; it is {self.embed_dim}"
            )


class Parts(NamedTuple):
    """The parts of one modality (SEA Eq. 13).

    Attributes:
        generic, unique: [n_items, embed_dim / 2]; with subtraction [n_items, embed_dim].
        hidden: [n_items, head_hidden], the generic part after the first layer of its alignment
            head; None without a head.
    """

    generic: Tensor
    unique: Tensor
    hidden: Tensor | None = None


class AlignmentHead(nn.Module):
    """dim -> hidden -> hidden -> out with batch norm and ReLU between, then unit norm.

    `first` is apart from `rest`, so that a linear map in front of it can be folded in. Layers in
    front of a batch norm have no bias, as its gradient would be zero. Batch statistics are used at
    evaluation too: scores never read views.

    Args:
        dim, hidden, out: widths of the input, the hidden layers and the view.
    """

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(dim, hidden, bias=False)
        self.rest = nn.Sequential(
            nn.BatchNorm1d(hidden, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden, track_running_stats=False),
            nn.ReLU(),
            nn.Linear(hidden, out),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """The view [n, out], rows of unit norm, from the output of `first` [n, hidden]."""
        return F.normalize(self.rest(hidden), dim=1)


class Separation(nn.Module):
    """Alignment of generic parts and distancing of generic from unique parts (SEA Eq. 13-16, 30).

    Args:
        head_widths: modality -> input width of its alignment head. In each pair of modalities the
            later one gives the rows of Solosim (text, as published), the earlier one the columns.
            With subtraction the width is embed_dim instead.
        config: which terms there are, and their weights.
    """

    def __init__(self, head_widths: dict[str, int], config: SeparationConfig) -> None:
        super().__init__()
        self.config = config
        self.pairs = list(combinations(head_widths, 2))
        self.heads, self.conditionals = nn.ModuleDict(), nn.ModuleDict()
        self.generic_encoders = nn.ModuleDict()
        self._last_parts = {}
        if config.subtracts:
            head_widths = dict.fromkeys(head_widths, config.embed_dim)
            for name, width in head_widths.items():
                self.generic_encoders[name] = nn.Linear(width, width)
        if not self.pairs and (config.aligns or config.subtracts):
            what = "alignment" if config.aligns else "subtraction"
            log.warning("%s needs two modalities; the data has only %s", what, *head_widths)
        elif config.aligns:
            for name, width in head_widths.items():
                self.heads[name] = AlignmentHead(width, config.head_hidden, config.head_out)
        if config.distances and config.distancing == "club":
            for name in [ALL] if config.club_shared else head_widths:
                q = GaussianConditional(config.embed_dim // 2, config.club_hidden)
                self.conditionals[name] = q

    def split(self, items: NamedTensors) -> dict[str, Parts]:
        """Splits each modality's items [n_items, embed_dim] in halves (SEA Eq. 13).

        With subtraction: into the output of an encoder and the rest (SEA Sec. 2).
        """
        parts = {}
        for name, whole in items.items():
            if self.generic_encoders:
                generic = self.generic_encoders[name](whole)
                unique = whole - generic
            else:
                generic, unique = whole.chunk(2, dim=1)
            hidden = self.heads[name].first(generic) if self.heads else None
            parts[name] = Parts(generic, unique, hidden)
        return parts

    def losses(
        self, parts: dict[str, Parts], positives: Tensor, generator: torch.Generator | None
    ) -> NamedTensors:
        """The terms α L_align and β L_dis of SEA Eq. 19, as far as they are switched on.

        Args:
            parts: by modality.
            positives: int64 [batch]; with `alignment_items` "batch" these items alone are aligned.
            generator: draws the partners of `club_sampled`.
        """
        config, terms = self.config, {}
        if self.heads:
            items = positives.unique() if config.alignment_items == "batch" else slice(None)
            hidden = {name: part.hidden[items] for name, part in parts.items()}
            terms["alignment"] = config.alignment_weight * self._alignment(hidden)
        if config.distances and (self.pairs or not config.subtracts):
            terms["distancing"] = config.distancing_weight * self._distancing(parts, generator)
        return terms

    def named(self, parts: dict[str, Parts]) -> NamedTensors:
        """Parts by name: "modality/generic", "modality/unique", with a head "modality/aligned"."""
        named = {}
        for name, part in parts.items():
            named |= {f"{name}/generic": part.generic, f"{name}/unique": part.unique}
            if self.heads:
                named[f"{name}/aligned"] = self.heads[name](part.hidden)
        return named

    @cached_property
    def fits(self) -> dict[str, ConditionalFit]:
        """The fit of each network, made at the first use: by then it is on its device."""
        rate = self.config.club_learning_rate
        return {name: ConditionalFit(q, rate) for name, q in self.conditionals.items()}

    def fit_conditionals(self) -> None:
        """Fits q by maximum likelihood on the parts of the last `losses` call (SEA Eq. 15)."""
        if self._last_parts:
            for name, fit in self.fits.items():
                fit.fit(self._fit_pairs(name), self.config.club_steps)

    def _fit_pairs(self, name):
        """The pairs (x, y) [n_items, dim] on which a network is fitted."""
        parts = self._last_parts
        if self.config.club_pairs == "across" and self.pairs:
            return [
                pair
                for early, late in self.pairs
                for pair in zip(parts[late], parts[early], strict=True)
            ]
        return list(parts.values()) if name == ALL else [parts[name]]

    def _alignment(self, hidden):
        """SEA Eq. 16, the mean over the pairs of modalities. `hidden`: [n, head_hidden] each."""
        if any(len(part) < 2 for part in hidden.values()):  # a batch norm needs two items
            return sum(part.sum() for part in hidden.values()) * 0
        align, temperature = ALIGNMENTS[self.config.alignment], self.config.temperature
        views = {name: self.heads[name](part) for name, part in hidden.items()}
        terms = [align(views[late], views[early], temperature) for early, late in self.pairs]
        return sum(terms) / len(terms)

    def _distancing(self, parts, generator):
        """SEA Eq. 15 or 30 over the modalities, or Sec. 2 over their pairs, a scalar."""
        config = self.config
        if config.distancing == "club":
            self._last_parts = {
                name: (part.generic.detach(), part.unique.detach()) for name, part in parts.items()
            }
            total = sum(self._bound(name, part, generator) for name, part in parts.items())
            return total / len(parts) if config.club_average else total
        if config.subtracts:
            terms = [orthogonality(parts[a].unique, parts[b].unique) for a, b in self.pairs]
            return sum(terms) / len(terms)
        distance = DISTANCES[config.distancing]
        mean = sum(distance(part.generic, part.unique) for part in parts.values()) / len(parts)
        if config.distancing == "negative_l2" and config.l2_mean:
            return mean / (config.embed_dim // 2)
        return mean

    def _bound(self, name, part, generator):
        """SEA Eq. 15 for one modality, a scalar."""
        config, generic, unique = self.config, part.generic, part.unique
        q = self.conditionals[ALL if config.club_shared else name]
        if config.club_estimate == "exact":
            bound = club_exact(q, generic, unique)
        else:
            order = torch.randperm(len(unique), generator=generator, device=unique.device)
            bound = club_sampled(q, generic, unique, order)
        bound = bound / 2 if config.club_half else bound
        return bound.clamp(min=0) if config.club_clamp else bound


class Separating(Recommender):
    """A recommender with a `Separation`, whose auxiliary optimisers fit CLUB's networks."""

    separation: Separation

    def fit_auxiliary(self) -> None:
        self.separation.fit_conditionals()

    def auxiliary_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        fits = self.separation.fits.items()
        return {f"club/{name}": fit.optimiser for name, fit in fits}  # never "main" or a number

"""PAMD (Han et al., WWW 2022): pre-trained common and specific item codes, weighed by the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations, permutations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.kernels.decoded_cosine import decoded_cosines
from seapkg.models.base import NamedTensors, Recommender, batch_rows, embedding_table
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option

BLOCK_BYTES = 2 << 20  # of the scores of all codes for a block of users, small enough for caches
LOG_ETA = math.log(1e-24)  # of the constant that the ordering loss adds to its softmax


@configuration
class PAMDConfig:
    """Options of PAMD."""

    embed_dim: int = option(64, "Width of codes and embeddings.", ge=1)
    initial_std: float = option(
        0.1, "Standard deviation of the initial embeddings.", gt=0, search=[0.1, 1.0]
    )
    temperature: float = option(0.5, "Temperature τ of the ordering loss.", gt=0)
    pretrain_epochs: int = option(
        220, "Epochs of pre-training; 0 skips it.", ge=0, search=[0, 60, 140, 220]
    )
    pretrain_batch_size: int = option(100, "Items in a batch of pre-training.", ge=1)
    pretrain_learning_rate: float = option(1e-3, "Learning rate of pre-training.", gt=0)
    pretrain_weight_decay: float = option(1e-5, "Coupled weight decay of pre-training.", ge=0)
    encoder_learning_rate: float = option(
        1e-4, "Learning rate of the pre-trained part in training.", gt=0, search=[1e-4, 1e-3]
    )
    formulation: Literal["intended", "released"] = option(
        "intended", "Ordering loss item by item, or with the published sum over the batch."
    )


@system(
    "pamd",
    paper="PAMD",
    title="Modality Matches Modality: Pretraining Modality-Disentangled Item Representations",
    year=2022,
    source="doi:10.1145/3485447.3512079",
    colour="orange",
    marker="v",
)
class PAMD(Recommender):
    r"""Common and specific codes of each modality, pre-trained, then weighed by each user.

    Equations:
        a_m = enc_m(x_m), with common part c_m = a_m W_m and specific part s_m = a_m - c_m.
        Pre-training, over batches of items, sums over pairs of modalities:
        L_sim = Σ_{m<n} mean (c_m - c_n)², L_ort = Σ_{m<n} mean (s_m · s_n)².
        With ρ the cosines of x_n with dec_mn(c_m), dec_mn(a_m) and dec_mn(s_m),
        L_order = -Σ_{m≠n} mean of ln e^{ρc/τ} / (e^{ρc/τ} + e^{ρa/τ} + e^{ρs/τ})
        + ln e^{ρa/τ} / (e^{ρa/τ} + e^{ρs/τ}).
        Training: s_ui = e_u · e_i + Σ_k softmax_k(α_ui) α_ui^k, α_ui^k = e_u · p_i^k, with p^k
        the common and specific parts of all modalities.
        L = -Σ ln σ(s_ui) - Σ ln(1 - σ(s_uj)), sums over the batch.
        Adam with coupled weight decay; the pre-trained part has a learning rate of its own, and
        decoders stay as pre-training left them.

    Differences from the published code:
        - e^{ρs/τ} of an item is e^{Σ ρs/τ}, a sum over the batch, with formulation=released only.
        - The released form is computed in logarithms; the published one overflows in float32 and
          then turns parameters into NaN.
        - The score's loss is a softplus; in float32 the published one is constant above s = 17.
        - Any number of modalities: each pair of them has the published losses, and each ordered
          pair a decoder. A single modality has no pair, so it is not pre-trained.
        - Width 64 and batches of 2048 pairs, as other systems; published are 100 (clothing), 50
          and 30, and batches of 100.
        - Pre-training has all items; the published one leaves out items without image or title.
        - Only the distinct items of a batch are encoded; the result is the same.
    """

    config_class = PAMDConfig
    needs_features = True
    training_defaults = {"weight_decay": 1e-5}

    def __init__(self, dataset: Dataset, config: PAMDConfig) -> None:
        super().__init__(dataset, config)
        dim, normal = config.embed_dim, partial(nn.init.normal_, std=config.initial_std)
        self.users = embedding_table(dataset.n_users, dim, normal)
        self.items = embedding_table(dataset.n_items, dim, normal)
        self.tables = FeatureTables(dataset)
        self.encoders, self.common = nn.ModuleDict(), nn.ParameterDict()
        self.decoders = nn.ModuleDict()  # target -> source -> decoder of the source's codes
        for name, width in self.tables.widths_by_name.items():
            self.encoders[name] = nn.Linear(width, dim)
            self.common[name] = embedding_table(dim, dim, nn.init.kaiming_uniform_)
            sources = (source for source in self.tables if source != name)
            self.decoders[name] = nn.ModuleDict({each: nn.Linear(dim, width) for each in sources})
        self.decoders.requires_grad_(False)  # trained by pre-training alone

    # Pre-training

    def before_training(self, generator: torch.Generator) -> None:
        """Pre-trains encoders, common parts and decoders on all items."""
        if not self.config.pretrain_epochs or len(self.encoders) < 2:
            return
        optimiser = self.pretraining_optimiser()
        for _ in range(self.config.pretrain_epochs):
            order = torch.randperm(self.n_items, generator=generator, device=self.items.device)
            for items in order.split(self.config.pretrain_batch_size):
                self.pretraining_step(optimiser, items)

    def pretraining_optimiser(self) -> torch.optim.Optimizer:
        """Adam with coupled weight decay."""
        parts = nn.ModuleList([self.encoders, self.common, self.decoders])
        return torch.optim.Adam(
            parts.parameters(),
            lr=self.config.pretrain_learning_rate,
            weight_decay=self.config.pretrain_weight_decay,
            fused=True,
        )

    def pretraining_step(self, optimiser: torch.optim.Optimizer, items: Tensor) -> None:
        """One step on a batch of items, int64 [batch]."""
        self.decoders.requires_grad_(True)
        sum(self.pretraining_losses(items).values()).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        self.decoders.requires_grad_(False)

    def pretraining_losses(self, items: Tensor) -> NamedTensors:
        """The terms of pre-training for a batch of items, int64 [batch]; two modalities at least.

        Returns:
            "similarity", "orthogonality", and for each ordered pair of modalities
            "TARGET from SOURCE, common" and "TARGET from SOURCE, full".
        """
        features = {name: rows(self.tables[name], items) for name in self.tables}
        codes = {name: self._codes(name, x) for name, x in features.items()}
        pairs = list(combinations(codes.values(), 2))
        common = [F.mse_loss(a_common, b_common) for (a_common, _), (b_common, _) in pairs]
        specific = [(a * b).sum(dim=1).square().mean() for (_, a), (_, b) in pairs]
        terms = {"similarity": sum(common), "orthogonality": sum(specific)}
        for target, source in permutations(features, 2):
            decoder = self.decoders[target][source]
            terms |= {
                f"{target} from {source}, {part}": loss
                for part, loss in self._order(features[target], codes[source], decoder).items()
            }
        return terms

    def _order(self, target: Tensor, codes: tuple[Tensor, Tensor], decoder: nn.Linear):
        """The common code decodes a target better than the full one, and this than the specific."""
        common, specific = codes
        decoded = torch.stack([common, common + specific, specific])  # [3, batch, d]
        cosines = decoded_cosines(target, decoded, decoder.weight, decoder.bias)
        common, full, specific = cosines / self.config.temperature  # [batch] each
        if self.config.formulation == "released":
            specific = specific.sum().expand_as(full)
        full_sum = torch.logaddexp(full, specific)
        shares = {"common": common - torch.logaddexp(common, full_sum), "full": full - full_sum}
        log_eta = full.new_tensor(LOG_ETA)
        return {part: -torch.logaddexp(share, log_eta).mean() for part, share in shares.items()}

    # Training

    def optimiser(
        self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """Adam with coupled weight decay; the pre-trained part has its own learning rate."""
        tables = {self.users, self.items}
        pretrained = [parameter for parameter in parameters if parameter not in tables]
        groups = [
            {"params": [self.users, self.items]},
            {"params": pretrained, "lr": self.config.encoder_learning_rate},
        ]
        return torch.optim.Adam(groups, lr=learning_rate, weight_decay=weight_decay, fused=True)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "positive" and "negative" for index tensors [batch]."""
        distinct, places = torch.cat([positives, negatives]).unique(return_inverse=True)
        codes = rows(self._all_codes(distinct), places).unflatten(1, (-1, self.config.embed_dim))
        user_rows, *item_rows = batch_rows(self.users, self.items, users, positives, negatives)
        scores = [
            (user_rows * item).sum(dim=1) + weighed((parts @ user_rows[:, :, None])[:, :, 0], dim=1)
            for item, parts in zip(item_rows, codes.chunk(2), strict=True)
        ]  # [batch] each
        return {"positive": F.softplus(-scores[0]).sum(), "negative": F.softplus(scores[1]).sum()}

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Encodes all items once; the score is no dot product."""
        codes = self._all_codes().T  # [n_codes * d, n_items]
        codes = codes.unflatten(0, (-1, self.config.embed_dim)).transpose(0, 1).flatten(1)
        size = max(1, BLOCK_BYTES // (codes.shape[1] * codes.element_size()))

        def score(users: Tensor) -> Tensor:
            user_rows = self.users[users]  # [n, d]
            attention = (block @ codes for block in user_rows.split(size))
            bonus = [weighed(each.unflatten(1, (-1, self.n_items)), dim=1) for each in attention]
            return user_rows @ self.items.T + torch.cat(bonus)

        return score

    def parts(self) -> NamedTensors:
        """The common and the specific part of each modality, [n_items, d]."""
        named = {}
        for name in self.tables:
            parts = self._codes(name, self.tables[name])
            named[f"{name}/generic"], named[f"{name}/unique"] = parts
        return named

    def _codes(self, modality, features):
        """The common and the specific part, [n, d] each."""
        full = self.encoders[modality](features)
        common = full @ self.common[modality]
        return common, full - common

    def _all_codes(self, items=None):
        """Common and specific parts of all modalities side by side, [n, n_codes * d]."""
        codes = []
        for name in self.tables:
            table = self.tables[name]
            codes += self._codes(name, table if items is None else rows(table, items))
        return torch.cat(codes, dim=1)


def weighed(attention: Tensor, dim: int) -> Tensor:
    """The sum over `dim` of the scores `attention`, weighed by their softmax."""
    return (attention.softmax(dim=dim) * attention).sum(dim=dim)

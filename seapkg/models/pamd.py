"""PAMD (Han et al., WWW 2022): pre-trained common and specific item codes, weighed by the user."""

from collections.abc import Callable
from functools import partial
from itertools import chain, combinations, permutations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.data.dataset import Dataset
from seapkg.kernels.decoded_cosine import decoded_cosines
from seapkg.models.base import NamedTensors, Recommender, embedding_table
from seapkg.models.features import FeatureTables, rows
from seapkg.models.registry import system
from seapkg.options import configuration, option

ETA = 1e-24  # keeps the logarithm of the ordering loss finite


@configuration
class PAMDConfig:
    """Options of PAMD."""

    embed_dim: int = option(64, "Width of codes and embeddings.", ge=1)
    initial_std: float = option(
        0.1, "Standard deviation of the initial embeddings.", gt=0, search=[0.1, 1.0]
    )
    temperature: float = option(0.5, "Temperature τ of the ordering loss.", gt=0)
    pretrain_epochs: int = option(
        60, "Epochs of pre-training; 0 skips it.", ge=0, search=[0, 60, 140, 220]
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
    title="Modality Matches Modality: Pretraining Modality-Disentangled Item Representations for "
    "Recommendation",
    year=2022,
    source="doi:10.1145/3485447.3512079",
    colour="orange",
    marker="X",
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
        - Its e^{ρs/τ} is e^{Σ ρs/τ} with a sum over the batch; formulation=released has this sum.
          There the published code overflows in float32 and makes parameters NaN; ours does not.
        - Embeddings start with a standard deviation of 0.1, published is 1, with which
          training on Last.fm-2K stopped below popularity.
        - Batches of 512 pairs, published are 100. An epoch takes half as long.
        - Pre-training has 60 epochs, when its losses have settled; published are 140 to 260,
          chosen by hand for each dataset. It has all items, not only those with image and title.
        - Width 64 as for other systems; published are 100 (clothing), 50 and 30.
        - The score's loss is a softplus; the published one has no gradient above s = 17 in float32.
        - Any number of modalities: each pair has the published losses, each ordered pair a decoder.
          A single modality has no pair, so it is not pre-trained.
        - Only the distinct items of a batch are encoded; the result is the same.
    """

    config_class = PAMDConfig
    needs_features = True
    coupled_decay = True
    training_defaults = {"batch_size": 512, "weight_decay": 1e-5}

    def __init__(self, dataset: Dataset, config: PAMDConfig) -> None:
        super().__init__(dataset, config)
        dim, normal = config.embed_dim, partial(nn.init.normal_, std=config.initial_std)
        self.users = embedding_table(dataset.n_users, dim, normal)
        self.items = embedding_table(dataset.n_items, dim, normal)
        self.tables = FeatureTables(dataset)
        self.encoders, self.common = nn.ModuleDict(), nn.ParameterDict()
        self.decoders = nn.ModuleList()  # in the order of permutations(tables, 2)
        for name, width in self.tables.widths_by_name.items():
            self.encoders[name] = nn.Linear(width, dim)
            self.common[name] = embedding_table(dim, dim, nn.init.kaiming_uniform_)
            self.decoders.extend(nn.Linear(dim, width) for _ in dataset.modalities[1:])
        self.decoders.requires_grad_(False)  # trained by pre-training alone

    # Pre-training

    def before_training(self, generator: torch.Generator) -> None:
        """Pre-trains encoders, common parts and decoders on batches of all items."""
        if not self.decoders:
            return  # there is no pair of modalities
        config, trained = self.config, nn.ModuleList([self.encoders, self.common, self.decoders])
        adam = super().optimiser(
            list(trained.requires_grad_(True).parameters()),
            config.pretrain_learning_rate,
            config.pretrain_weight_decay,
        )
        for _ in range(config.pretrain_epochs):
            order = torch.randperm(self.n_items, generator=generator, device=self.items.device)
            for items in order.split(config.pretrain_batch_size):
                sum(self.pretraining_losses(items).values()).backward()
                adam.step()
                adam.zero_grad()
        self.decoders.requires_grad_(False)

    def pretraining_losses(self, items: Tensor) -> NamedTensors:
        """The terms of pre-training for a batch of items, int64 [batch]; two modalities at least.

        Returns:
            "similarity", "orthogonality", and "TARGET from SOURCE" for each ordered pair of
            modalities.
        """
        codes = self._codes(items)
        common, specific = (combinations(part, 2) for part in zip(*codes.values(), strict=True))
        terms = {
            "similarity": sum(F.mse_loss(a, b) for a, b in common),
            "orthogonality": sum((a * b).sum(dim=1).square().mean() for a, b in specific),
        }
        pairs = permutations(codes, 2)
        for (target, source), decoder in zip(pairs, self.decoders, strict=True):
            features = rows(self.tables[target], items)
            terms[f"{target} from {source}"] = self._order(features, *codes[source], decoder)
        return terms

    def _order(self, target, common, specific, decoder):
        """The common code decodes best, then the full one, then the specific one."""
        codes = torch.stack([common, common + specific, specific])  # [3, batch, d]
        cosines = decoded_cosines(target, codes, decoder.weight, decoder.bias)
        common, full, specific = cosines / self.config.temperature  # [batch] each
        if self.config.formulation == "released":
            specific = specific.sum().expand_as(full)
        rest = torch.logaddexp(full, specific)
        log_shares = torch.stack([common - torch.logaddexp(common, rest), full - rest])
        return -(log_shares.exp() + ETA).log().mean(dim=1).sum()

    # Training

    def optimiser(
        self, parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> torch.optim.Optimizer:
        """The pre-trained part has its own learning rate."""
        pretrained = [*self.encoders.parameters(), *self.common.parameters()]
        groups = [
            {"params": [self.users, self.items]},
            {"params": pretrained, "lr": self.config.encoder_learning_rate},
        ]
        return super().optimiser(groups, learning_rate, weight_decay)

    def losses(self, users: Tensor, positives: Tensor, negatives: Tensor) -> NamedTensors:
        """The terms "positive" and "negative" for index tensors [batch]."""
        items = torch.cat([positives, negatives])
        distinct, places = items.unique(return_inverse=True)
        codes = rows(self._side_by_side(distinct), places)  # [2 batch, n_codes * d]
        user_rows = rows(self.users, users).repeat(2, 1)  # [2 batch, d]
        attention = codes.unflatten(1, (-1, self.config.embed_dim)) @ user_rows[:, :, None]
        products = (user_rows * rows(self.items, items)).sum(dim=1)
        positive, negative = (products + weighed(attention[:, :, 0])).chunk(2)  # [batch] each
        return {"positive": F.softplus(-positive).sum(), "negative": F.softplus(negative).sum()}

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Encodes all items once; the score is no dot product."""
        codes = self._side_by_side().T.unflatten(0, (-1, self.config.embed_dim))
        codes = codes.transpose(0, 1).flatten(1)  # [d, n_codes * n_items]

        def score(users: Tensor) -> Tensor:
            user_rows = self.users[users]  # [n, d]
            attention = (user_rows @ codes).unflatten(1, (-1, self.n_items))
            return user_rows @ self.items.T + weighed(attention)

        return score

    def parts(self) -> NamedTensors:
        """The common and the specific part of each modality, [n_items, d]."""
        return {
            f"{name}/{kind}": part
            for name, parts in self._codes().items()
            for kind, part in zip(("generic", "unique"), parts, strict=True)
        }

    def _codes(self, items=None):
        """Modality -> common and specific part, [n, d] each; None stands for all items."""
        codes = {}
        for name, encoder in self.encoders.items():
            full = encoder(rows(self.tables[name], items))
            common = full @ self.common[name]
            codes[name] = common, full - common
        return codes

    def _side_by_side(self, items=None):
        return torch.cat([*chain(*self._codes(items).values())], dim=1)  # [n, n_codes * d]


def weighed(attention: Tensor) -> Tensor:
    """The sum over dimension 1 of the scores `attention`, weighed by their softmax."""
    return (attention.softmax(dim=1) * attention).sum(dim=1)

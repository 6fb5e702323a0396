"""Batches: shuffled training pairs, each with a fresh negative."""

from collections.abc import Iterator

import torch
from torch import Tensor

from seapkg.data.dataset import Dataset
from seapkg.models.base import training_pairs
from seapkg.seeds import generator
from seapkg.training.config import TrainingConfig
from seapkg.training.negatives import NegativeSampler


class Batches:
    """The batches of each epoch, on the device.

    Args:
        dataset: its training pairs.
        training: batch size and kind of negatives.
        seed: decides the order of pairs and the negatives.
        device: of all tensors.
    """

    def __init__(
        self, dataset: Dataset, training: TrainingConfig, seed: int, device: torch.device
    ) -> None:
        self.pairs = training_pairs(dataset).to(device)
        self.batch_size = training.batch_size
        self.sampler = NegativeSampler(dataset, training.negatives, device)
        self.generator = generator(seed, "batches", device)

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields users, positives and negatives: int64 [batch] each."""
        n_pairs, device = len(self.pairs), self.pairs.device
        order = torch.randperm(n_pairs, generator=self.generator, device=device)
        users, positives = self.pairs[order].T.contiguous()
        negatives = self.sampler.draw(users, self.generator)
        columns = [part.split(self.batch_size) for part in (users, positives, negatives)]
        yield from zip(*columns, strict=True)

"""The recommenders: one file per system, found by name."""

import torch

from seapkg.models.base import Recommender
from seapkg.models.registry import find, systems
from seapkg.seeds import stream_seed

__all__ = ["Recommender", "build", "find", "systems"]


def build(name: str, dataset, config, seed: int) -> Recommender:
    """The model, its parameters drawn from `seed`; leaves torch's global generator unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, "parameters"))
        return find(name).model(dataset, config)

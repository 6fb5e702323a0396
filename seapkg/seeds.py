"""Seeds of independent random streams: the parameters, the batches and the model's own draws."""

import numpy as np
import torch

STREAMS = ("parameters", "batches", "model")


def stream_seed(seed: int, stream: str) -> int:
    """The seed of one stream, 32 bits; it differs between seeds and between streams."""
    sequence = np.random.SeedSequence((seed, STREAMS.index(stream)))
    return int(sequence.generate_state(1)[0])


def generator(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one stream of `seed` on a device."""
    return torch.Generator(device).manual_seed(stream_seed(seed, stream))

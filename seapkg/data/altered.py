"""Altered datasets: the features of other items, or one modality alone.

Their names say what was done, as "lfm2k, shuffled" and "lfm2k, text alone"; `seapkg.load` takes
these names.
"""

import re
from dataclasses import replace

import numpy as np

from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.errors import look_up

SHUFFLED = "shuffled"
_ALTERED = re.compile(r"(.+), (shuffled(?: \d+)?|\S+ alone)")


def shuffled(data: Dataset, seed: int = 0) -> Dataset:
    """A copy in which each item has the features of a random item.

    One permutation for all modalities: the features of an item remain together, and only their
    relation to the interactions is lost. Given item graphs follow their features.

    Args:
        data: the original.
        seed: of the permutation.
    """
    chosen = np.random.default_rng(seed).permutation(data.n_items)  # item i gets row chosen[i]
    place = np.argsort(chosen)  # the row of item i goes to item place[i]
    graphs = data.item_graphs.items()
    return _altered(
        data,
        SHUFFLED if seed == 0 else f"{SHUFFLED} {seed}",
        features={name: x[chosen] for name, x in data.features.items()},
        item_graphs={name: ItemGraph(place[graph.index], graph.cosine) for name, graph in graphs},
    )


def only(data: Dataset, modality: str) -> Dataset:
    """A copy with the features and the given graph of one modality.

    Raises:
        RequestError: the data has no such modality; lists those that it has.
    """
    features = look_up("modality", modality, data.features)
    graphs = {name: graph for name, graph in data.item_graphs.items() if name == modality}
    change = f"{modality} alone"
    return _altered(data, change, features={modality: features}, item_graphs=graphs)


def altered(data: Dataset, change: str) -> Dataset:
    """The altered copy whose name ends in `change`, such as "shuffled" or "text alone"."""
    if change.startswith(SHUFFLED):
        return shuffled(data, int(change.removeprefix(SHUFFLED) or 0))
    return only(data, change.removesuffix(" alone"))


def original_and_change(name: str) -> tuple[str, str]:
    """The two parts of an altered dataset's name; the change is "" for an original."""
    match = _ALTERED.fullmatch(name)
    return match.groups() if match else (name, "")


def provenance(original: str, change: str) -> str:
    """The provenance of an altered copy, from that of its original."""
    return f"{original or 'unknown'}; features: {change}"


def _altered(data: Dataset, change: str, **fields) -> Dataset:
    return replace(
        data,
        name=f"{data.name}, {change}",
        source=f"{data.source}, {change}" if data.source else "",
        provenance=provenance(data.provenance, change),
        **fields,
    )

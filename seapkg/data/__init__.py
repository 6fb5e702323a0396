"""Data: what a model may see, how it is read, and a built-in world whose truth is known."""

from seapkg.data.check import describe
from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.data.sources import load

__all__ = ["Dataset", "ItemGraph", "describe", "load"]

"""Data: what a model may see, how it is read, and a built-in world whose truth is known."""

from seapkg.data.catalogue import load
from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.data.describe import describe

__all__ = ["Dataset", "ItemGraph", "describe", "load"]

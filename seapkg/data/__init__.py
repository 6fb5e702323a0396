"""Datasets: reading and checking files, downloads, and a built-in synthetic dataset."""

from seapkg.data.catalogue import load
from seapkg.data.dataset import Dataset, ItemGraph
from seapkg.data.describe import describe

__all__ = ["Dataset", "ItemGraph", "describe", "load"]

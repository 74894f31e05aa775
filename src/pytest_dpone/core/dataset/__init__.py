"""Rows of S0 and S1 from a seed, in batches, the same on every machine."""

from __future__ import annotations

from .change import Commit
from .dataset import Dataset, DatasetSpec, Rejection, dataset_of

VERSION = "3"
"""Of the rows that a seed gives. A scope lock names it: other rows are another proof."""

__all__ = ["VERSION", "Commit", "Dataset", "DatasetSpec", "Rejection", "dataset_of"]

"""Rows of S0 and S1 from a seed, in batches, the same on every machine."""

from __future__ import annotations

from .change import Commit
from .dataset import Dataset, DatasetSpec, Rejection, dataset_of

__all__ = ["Commit", "Dataset", "DatasetSpec", "Rejection", "dataset_of"]

"""dlt (https://dlthub.com) as an engine: its own pipelines, with the job's names kept."""

from __future__ import annotations

from .engine import DltEngine

__all__ = ["DltEngine"]

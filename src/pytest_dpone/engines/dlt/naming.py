"""dlt's naming convention `direct`, which leaves quotes alone, too: columns keep the names that they have."""

from __future__ import annotations

from typing import ClassVar

from dlt.common.normalizers.naming.direct import NamingConvention as Direct


class NamingConvention(Direct):  # type: ignore[misc]
    """dlt finds it by this name."""

    _CLEANUP_TABLE: ClassVar[dict[int, str]] = {}

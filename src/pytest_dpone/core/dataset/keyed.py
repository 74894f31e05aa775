"""The keys that cases declare: their columns, and values that are made of the row's number and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from ..kinds import ID, Field
from ..model import KeyForm
from .values import remainder

KEYS: Mapping[KeyForm, tuple[str, ...]] = MappingProxyType(
    {KeyForm.INTEGER: (ID,), KeyForm.TEXT: ("code",), KeyForm.COMPOSITE: ("tenant", "number")}
)
"""The columns of a key, in the order in which it is declared."""

FIELDS: Mapping[KeyForm, tuple[Field, ...]] = MappingProxyType(
    {
        KeyForm.INTEGER: (),
        KeyForm.TEXT: (Field("code", "text", nullable=False),),
        KeyForm.COMPOSITE: (Field("number", "int64", nullable=False), Field("tenant", "text", nullable=False)),
    }
)
"""The columns that a table has for its key beside the roles, in the table's order: not that of the key."""

EMPTY = 2
"""The number of the row whose text key is empty."""

_PADDED = ("a", " ")
_UNPADDED = ("a", "_")
_AROUND = (
    ("a", ""),
    ("A", ""),
    _PADDED,
    (" a", ""),
    ("\u00e9", ""),
    ("e\u0301", ""),
    ("\u0436", ""),
    ("\u0416", ""),
    ("a/", ""),
    ("a%2F", ""),
    ("a,", ""),
    ("a\t", ""),
    ("'", '"'),
    ("a\\", ""),
    ("{", "}"),
    ("", ""),
    ("0", ""),
)
"""What stands around the digits of a text key: what is the same to somebody who folds case, cuts spaces, composes marks
or takes texts for numbers, and what must be escaped in SQL, JSON, CSV, paths and addresses."""
_TENANTS = ("t", "t1", "T", "t ", "", "\u0451", "a/b,c%\t'\"\\")
"""`t` and `t1`, so that keys are the same to somebody who puts 12 behind the one and 2 behind the other."""


def key_columns(form: KeyForm, ids: pa.Array, *, space_blind: bool) -> dict[str, pa.Array]:
    """The columns of the key of the rows with these numbers (int64, none below 0), in the order of the key.

    With `space_blind`, no two texts differ by spaces at their end alone.
    """
    if form is KeyForm.TEXT:
        return {"code": _codes(ids, space_blind=space_blind)}
    if form is KeyForm.COMPOSITE:
        count = len(_TENANTS)
        tenants = pa.array([t.rstrip() + "_" if space_blind and t.endswith(" ") else t for t in _TENANTS])
        return {"tenant": tenants.take(_modulo(ids, count)), "number": pc.divide(ids, pa.scalar(count, pa.int64()))}
    return {ID: ids}


def _codes(ids: pa.Array, *, space_blind: bool) -> pa.Array:
    around = [_UNPADDED if space_blind and pair == _PADDED else pair for pair in _AROUND]
    before, behind = (pa.array(parts) for parts in zip(*around, strict=True))
    places = _modulo(ids, len(around))
    digits = pc.divide(ids, pa.scalar(len(around), pa.int64())).cast(pa.string())
    codes = pc.binary_join_element_wise(before.take(places), digits, behind.take(places), "")
    return pc.if_else(pc.equal(ids, pa.scalar(EMPTY, pa.int64())), "", codes)


def _modulo(ids: pa.Array, divisor: int) -> pa.Array:
    return remainder(ids.view(pa.uint64()), divisor).view(pa.int64())

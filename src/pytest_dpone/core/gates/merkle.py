"""Merkle tree hashes of RFC 6962: one root that stands for a list of entries, in their order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

EMPTY = hashlib.sha256(b"").hexdigest()
"""Root of no entries."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 of an entry, told apart from inner nodes by a leading 0 byte."""
    return hashlib.sha256(b"\x00" + entry).digest()


def roots(leaves: Iterable[bytes]) -> list[str]:
    """Hex roots of all prefixes: the first one of no leaves, the last one of all. O(n log n)."""
    found = [EMPTY]
    # Perfect subtrees from left to right, as (number of leaves, hash).
    trees: list[tuple[int, bytes]] = []
    for leaf in leaves:
        trees.append((1, leaf))
        while len(trees) > 1 and trees[-1][0] == trees[-2][0]:
            size, right = trees.pop()
            _, left = trees.pop()
            trees.append((2 * size, _node(left, right)))
        found.append(_folded(trees).hex())
    return found


def _folded(trees: list[tuple[int, bytes]]) -> bytes:
    root = trees[-1][1]
    for _, left in reversed(trees[:-1]):
        root = _node(left, root)
    return root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()

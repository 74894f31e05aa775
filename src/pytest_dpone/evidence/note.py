"""Signed notes and the checkpoints of a log, as C2SP specifies them (signed-note, tlog-checkpoint)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from .keys import Signer, Verifier

_ED25519 = b"\x01"
"""The type of signature."""
_SIGNATURE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_LIMIT = 16 * 2**10
"""Characters of a note."""


class BadNote(ValueError):
    """A text is no note that the key has signed, or no checkpoint; the message follows the file's name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its name, its number of entries, and their RFC 6962 root in hex."""

    origin: str
    size: int
    root: str


def origin_of(verifier: Verifier) -> str:
    """The name of the log that a key signs: it follows from the key, so that nobody has to be told it."""
    return f"pytest-dpone.log/{verifier.keyid[:16]}"


def key_hash(name: str, verifier: Verifier) -> bytes:
    """The four bytes by which a note names a key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + verifier.raw).digest()[:4]


def verifier_key(name: str, verifier: Verifier) -> str:
    """The key in the form that tools of transparency logs take (`NAME+HASH+KEY`)."""
    return f"{name}+{key_hash(name, verifier).hex()}+{base64.b64encode(_ED25519 + verifier.raw).decode()}"


def signed_note(text: str, name: str, signer: Signer) -> str:
    """`text`, which ends in a newline, with the signature of `signer` under `name`."""
    signature = key_hash(name, signer.verifier) + signer.sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, name: str, verifier: Verifier) -> str:
    """The text of a note. Raises `BadNote` unless the key has signed it; signatures of other keys are left aside."""
    if len(note) > _LIMIT:
        raise BadNote("is too long for a signed note")
    if re.search("[\x00-\x09\x0b-\x1f]", note):
        raise BadNote("holds control characters, which no signed note may")
    text, gap, below = note.rpartition("\n\n")
    if not gap or not below.endswith("\n"):
        raise BadNote("is no signed note")
    text = f"{text}\n"
    good = False
    for line in below[:-1].split("\n"):
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise BadNote("has a line among its signatures that is none")
        blob = _canonical(found[2])
        if found[1] != name or blob[:4] != key_hash(name, verifier):
            continue
        if not verifier.verifies(blob[4:], text.encode()):
            raise BadNote("has a signature that does not fit")
        good = True
    if not good:
        raise BadNote("is not signed by the given key")
    return text


def signed_checkpoint(size: int, root: str, signer: Signer) -> str:
    """The checkpoint of the log of `signer`'s key; `root` is in hex."""
    origin = origin_of(signer.verifier)
    text = f"{origin}\n{size}\n{base64.b64encode(bytes.fromhex(root)).decode()}\n"
    return signed_note(text, origin, signer)


def open_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """The head of the log of this key that `note` tells. Raises `BadNote`."""
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        raise BadNote("is not UTF-8") from None
    origin = origin_of(verifier)
    lines = open_note(text, origin, verifier).splitlines()
    if len(lines) != 3 or _SIZE.fullmatch(lines[1]) is None:
        raise BadNote("is no checkpoint")
    if lines[0] != origin:
        raise BadNote("is the checkpoint of another log")
    root = _canonical(lines[2])
    if len(root) != 32:
        raise BadNote("has no root that is a SHA-256")
    return Checkpoint(origin, int(lines[1]), root.hex())


def _canonical(text: str) -> bytes:
    """Decoded Base64; a second spelling of the same bytes is refused."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if base64.b64encode(found).decode() != text:
        raise BadNote("holds what is no Base64")
    return found

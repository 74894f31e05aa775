"""Ed25519 keys: made, kept in files that only their owner may read, and read back. Loads `cryptography` when used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArtifactError, UsageError, require
from .files import Unreadable, read_bytes, sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LIMIT = 2**16
"""Bytes of a key's file."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key. Two are equal if their bytes are."""

    raw: bytes
    """32 bytes (RFC 8032)."""
    der: bytes
    """SubjectPublicKeyInfo (RFC 8410)."""

    @property
    def keyid(self) -> str:
        """SHA-256 of the DER form in hex: what `openssl pkey -pubin -outform DER | sha256sum` prints."""
        return sha256(self.der)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """If `signature` is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A private key; its text form tells nothing of it."""

    _key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return _verifier(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032); the same for the same message."""
        return self._key.sign(message)


def generate(path: Path) -> Verifier:
    """Write a new private key to `path` (PKCS #8 PEM, mode 0600) and the public one beside it, ending in `.pub`.

    Raises `UsageError` if one of the two files exists already, `ArtifactError` if they can't be written, and
    `MissingExtra`.
    """
    _require()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = public_path(path)
    if os.path.lexists(public):
        raise _in_the_way(public)
    _create(path, private, 0o600)
    try:
        _create(public, _pem(key.public_key()), 0o644)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return _verifier(key.public_key())


def public_path(path: Path) -> Path:
    """Where the public half of the key at `path` lies: its name with `.pub`."""
    return path.with_name(f"{path.name}.pub")


def read_signer(path: Path) -> Signer:
    """The private key at `path`. Raises `UsageError` for what is none, and `MissingExtra`."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):
        # What is in the file must not get into a message, so the reason stays out of it.
        raise UsageError(
            f"{path} is no private key in PEM without a password", hint="make one with `pytest-dpone keygen`"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key", hint="make one with `pytest-dpone keygen`")
    if path.stat().st_mode & 0o077:
        raise UsageError(f"others may read the private key {path}", hint=f"chmod 600 {path}")
    return Signer(key)


def read_verifier(path: Path) -> Verifier:
    """The public key at `path`. Raises `UsageError` for what is none, and `MissingExtra`."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path))
    except ValueError:
        raise UsageError(
            f"{path} is no public key in PEM", hint="give the file with `.pub` that `pytest-dpone keygen` wrote"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is no Ed25519 key", hint="give the `.pub` file that `pytest-dpone keygen` wrote")
    return _verifier(key)


def _verifier(key: Ed25519PublicKey) -> Verifier:
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Verifier(raw=key.public_bytes_raw(), der=der)


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _require() -> None:
    require("cryptography.hazmat.primitives.asymmetric.ed25519", extra="sign")


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, limit=_LIMIT)
    except Unreadable as error:
        raise UsageError(f"the key {path} {error}", hint="name the file of a key with --key") from None


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        # The mode is given with the name: there is no moment in which somebody else may open the file.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError:
        raise _in_the_way(path) from None
    except OSError as error:
        raise ArtifactError(f"{path} can't be written: {error.strerror}", hint="choose another file") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(handle, mode)
        os.fsync(handle)


def _in_the_way(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", hint="a key is never written over: choose another name")

"""Secrets in files: values that this process knows, in each spelling that software gives them, and known shapes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, quote_plus

from ..core.secrets import Scrubber

SHORTEST = 6
"""Characters (and bytes) of a value that is looked for: shorter ones would be found everywhere."""

_TELLING = re.compile(
    r"passw|passphrase|secret|token|api_?key|access_?key|private_?key|credential|_key$|_pat$|(?<!old)(?<!^)pwd|dsn|conn.*str",
    re.IGNORECASE,
)
"""Names of variables whose value is a secret."""
_PLACE = re.compile(r"_(file|path|dir|sock|url)$", re.IGNORECASE)
"""Names of variables whose value says where a secret lies."""
_URL = re.compile(r"DPONE_\w+_URL")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

_SHAPES: tuple[tuple[str, bytes, re.Pattern[bytes]], ...] = tuple(
    (what, start, re.compile(pattern))
    for what, start, pattern in (
        ("the shape of an AWS access key", b"AKIA", rb"AKIA[0-9A-Z]{16}(?![0-9A-Z])"),
        ("the shape of an AWS session key", b"ASIA", rb"ASIA[0-9A-Z]{16}(?![0-9A-Z])"),
        *(("the shape of a GitHub token", b"gh%c_" % kind, rb"gh._[A-Za-z0-9]{36}") for kind in b"pousr"),
        ("the shape of a GitHub token", b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22}"),
        ("the shape of a GitLab token", b"glpat-", rb"glpat-[A-Za-z0-9_-]{20}"),
        *(("the shape of a Slack token", b"xox%c-" % kind, rb"xox.-[A-Za-z0-9-]{10}") for kind in b"abpros"),
        ("the shape of a Google API key", b"AIza", rb"AIza[A-Za-z0-9_-]{35}"),
        ("the shape of a Stripe key", b"sk_live_", rb"sk_live_[A-Za-z0-9]{16}"),
        ("the shape of a PyPI token", b"pypi-AgE", rb"pypi-AgE[A-Za-z0-9_-]{16}"),
        ("the shape of an npm token", b"npm_", rb"npm_[A-Za-z0-9]{36}"),
        ("a JSON Web Token", b"eyJ", rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
        ("a private key", b"-----BEGIN ", rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"),
        # What a message shows in place of a password is none.
        ("an address with a password", b"://", rb"://[^\s:/@\"'\\<>]{0,64}:(?!\*+@|password@)[^\s@/\"'\\<>]{3,200}@"),
    )
)
"""What it is, how it begins, and its form: the beginning is searched for fast, the form looked at there only."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret in a file: where, what of it, and never itself."""

    what: str
    offset: int
    """Bytes before it."""


@dataclass(frozen=True, slots=True, repr=False)
class Needles:
    """Spellings of secrets, each with what it is; its text form tells none of them."""

    _spellings: tuple[tuple[bytes, str], ...]
    short: tuple[str, ...]
    """Variables whose value is too short to be looked for."""

    @property
    def count(self) -> int:
        """How many spellings are looked for."""
        return len(self._spellings)

    def find(self, data: bytes) -> Iterator[Leak]:
        """The secrets in `data`: of each spelling the first place, then every known shape."""
        for needle, what in self._spellings:
            if (place := data.find(needle)) >= 0:
                yield Leak(what, place)
        for what, start, form in _SHAPES:
            place = data.find(start)
            while place >= 0:
                if form.match(data, place):
                    yield Leak(what, place)
                    break
                place = data.find(start, place + 1)


def needles(environ: Mapping[str, str]) -> Needles:
    """The secrets of an environment: values of telling variables, passwords and keys in addresses."""
    found: dict[bytes, str] = {}
    short = []
    for name, value in environ.items():
        secrets = set(_secrets(name, value))
        if any(secret and len(secret) < SHORTEST for secret in secrets):
            short.append(name)
        for secret in secrets:
            for spelling, how in spellings(secret):
                found.setdefault(spelling, f"the secret of {name}{how}")
    return Needles(tuple(found.items()), tuple(sorted(short)))


def spellings(secret: str) -> Iterator[tuple[bytes, str]]:
    """`secret` as software writes it, with a few words that say how; those that are too short are left out."""
    raw = secret.encode("utf-8", "surrogateescape")
    plain = raw.decode("utf-8", "replace")
    forms = [
        (raw, ""),
        (quote(raw, safe="").encode(), ", URL-quoted"),
        (quote(raw, safe="").lower().encode(), ", URL-quoted"),
        (quote_plus(raw).encode(), ", URL-quoted"),
        (quote(raw).encode(), ", URL-quoted"),
        (json.dumps(plain)[1:-1].encode(), ", JSON-escaped"),
        (json.dumps(plain, ensure_ascii=False)[1:-1].encode(), ", JSON-escaped"),
        (escape(plain).encode(), ", HTML-escaped"),
        (escape(plain, quote=False).encode(), ", HTML-escaped"),
    ]
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.append((_inner(encode, raw, shift), ", in Base64"))
    yield from ((form, how) for form, how in forms if len(form) >= SHORTEST and len(raw) >= SHORTEST)


def line_of(data: bytes, offset: int) -> tuple[int, int]:
    """Line and column of a byte, both from 1; the column counts bytes."""
    return data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset)


def _inner(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """What is the same in the Base64 of any text that holds `raw` after 3n + `shift` bytes: without the edges."""
    text = encode(b"\0" * shift + raw)
    return text[-(-shift * 4 // 3) : (shift + len(raw)) * 8 // 6]


def _secrets(name: str, value: str) -> Iterator[str]:
    if _TELLING.search(name) and not _PLACE.search(name):
        yield value
    if _URL.fullmatch(name) or (_SCHEME.match(value) and "@" in value):
        yield from Scrubber([value]).known

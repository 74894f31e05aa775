"""Signed envelopes (DSSE 1.0.2): a payload with its type, and one Ed25519 signature over both."""

from __future__ import annotations

import base64
import binascii
import json

from ..core.strict import NotStrict, parse_object
from .keys import Signer, Verifier

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class BadEnvelope(ValueError):
    """Bytes are no envelope that the key has signed; the message follows the file's name."""


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """What is signed: the pre-authentication encoding of the type and the payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, signer: Signer, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope of `payload`, as one line of JSON."""
    signature = signer.sign(pae(payload, payload_type))
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": signer.verifier.keyid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def opened(envelope: bytes, verifier: Verifier) -> bytes:
    """The payload of an in-toto envelope. Raises `BadEnvelope`; nothing is given back that was not signed."""
    try:
        document = parse_object(envelope)
        payload, kind = _base64(document["payload"]), document["payloadType"]
        rows = document["signatures"]
    except (NotStrict, KeyError):
        raise BadEnvelope("is no DSSE envelope") from None
    if kind != PAYLOAD_TYPE:
        raise BadEnvelope("holds another type of payload than in-toto's")
    signatures = rows if isinstance(rows, list) else []
    message = pae(payload)
    # The key's name in the envelope is a hint that nobody has signed: each signature is tried.
    if not any(verifier.verifies(_base64(row.get("sig")), message) for row in signatures if isinstance(row, dict)):
        raise BadEnvelope("is not signed by the given key")
    return payload


def _base64(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise BadEnvelope("holds what is no Base64") from None

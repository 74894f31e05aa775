"""The external provider: a server that somebody else runs; it is asked, and the rights of the account are tried."""

from __future__ import annotations

import sys
from dataclasses import asdict

from ..core.secrets import redact
from ..errors import ServiceFailed
from .ask import ask
from .keeper import Ready, Spec, Wire, run
from .patience import patiently
from .rights import try_rights


def keep(spec: Spec, wire: Wire) -> None:
    """Ask the server at the address, try the rights, and end; raises `ServiceFailed` with a hint, without secrets."""
    try:
        answer = patiently(lambda: ask(spec.service, spec.url, timeout=min(spec.timeout, 10.0)))
        patiently(lambda: try_rights(spec.service, spec.url, spec.run_id))
    except ServiceFailed as error:
        raise ServiceFailed(f"the server at {redact(spec.url)} refused: {error.fact}", hint=error.hint) from None
    except OSError as error:
        raise ServiceFailed(
            f"the server at {redact(spec.url)} can't be reached: {error}",
            hint="check host and port in the address, and that the server is up",
        ) from None
    wire.ready(Ready(url=spec.url, **asdict(answer)))


if __name__ == "__main__":
    sys.exit(run(keep))

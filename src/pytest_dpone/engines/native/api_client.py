"""A patient HTTP client: waits when it is told to, tries again what failed, and gets a new token when one expires."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.wire import Endpoint
from ...errors import EngineFailed
from .address import Address, place

_TIMEOUT = 60.0
_TRIES = 10
_LONGEST_WAIT = 60.0
"""Seconds: a server that asks for more is not waited for."""
_PASSING = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered at last."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes


class Client:
    """One connection to the server of an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        address = Address.of(endpoint)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(address.host, address.port, timeout=_TIMEOUT)
        self._login = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
        self._place = place(endpoint)
        self._token = ""
        self.repeated = 0
        """Requests that were sent again because the server had failed."""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET; a status that is no reason to try again is the caller's. Raises `EngineFailed`."""
        last = ""
        for tried in range(_TRIES):
            if not self._token:
                self._token = self._new_token()
            try:
                answer = self._send("GET", path, {**(headers or {}), "Authorization": f"Bearer {self._token}"})
            except (http.client.HTTPException, OSError) as error:
                last = f"{type(error).__name__}: {error}"
                self._connection.close()
                time.sleep(self.pause(tried))
                continue
            if answer.status not in (401, 429, *_PASSING):
                return answer
            last = f"{answer.status} {_message(answer)}"
            self._recover(answer, tried)
        raise EngineFailed(
            f"{self._place} gave no answer to {_TRIES} requests; the last one was {last}",
            hint="see what the server is short of",
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def pause(self, tried: int) -> float:
        """Seconds before a failed request is sent again."""
        return float(min(0.05 * 2**tried, 5.0))

    def wait(self, answer: Answer) -> float:
        """Seconds that a 429 asks for; raises `EngineFailed` for more than can be waited for."""
        text = answer.headers.get("retry-after", "1")
        seconds = float(text) if text.isascii() and text.isdigit() else _LONGEST_WAIT + 1
        if seconds > _LONGEST_WAIT:
            raise EngineFailed(
                f"{self._place} asks to come again after {text!r}", hint=f"more than {_LONGEST_WAIT:g} s is too long"
            )
        return seconds

    def _recover(self, answer: Answer, tried: int) -> None:
        if answer.status == 401:
            self._token = ""
        elif answer.status == 429:
            time.sleep(self.wait(answer))
        else:
            self.repeated += 1
            time.sleep(self.pause(tried))

    def _new_token(self) -> str:
        answer = self._send("POST", "/v1/token", {"Authorization": f"Basic {self._login}"})
        if answer.status != 200:
            raise EngineFailed(
                f"{self._place} gives no token: {answer.status} {_message(answer)}", hint="check user and password"
            )
        return str(json.loads(answer.body)["access_token"])

    def _send(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        self._connection.request(method, path, headers=dict(headers))
        answer = self._connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())


def _message(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return answer.body[:200].decode(errors="replace")


def refused(answer: Answer, *, doing: str, where: str) -> EngineFailed:
    """The error for an answer that is no success."""
    return EngineFailed(
        f"{doing} at {where} was answered {answer.status}: {_message(answer)}", hint="see what the server says"
    )

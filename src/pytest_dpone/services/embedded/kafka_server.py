"""The broker's socket: frames, SASL PLAIN, and requests to their handlers."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import kafka_groups_api, kafka_records_api, kafka_topics_api, kafka_transactions_api
from .kafka_state import Broker
from .kafka_wire import (
    API_VERSIONS,
    LARGEST_REQUEST,
    Api,
    Caller,
    Code,
    Fields,
    Header,
    read_header,
    read_request,
    write_response,
)

_HANDSHAKE, _AUTHENTICATE = 17, 36
_MECHANISM = "PLAIN"
_APIS: Mapping[int, Api] = MappingProxyType(
    {
        api.key: api
        for module in (kafka_records_api, kafka_topics_api, kafka_groups_api, kafka_transactions_api)
        for api in module.APIS
    }
)
_VERSIONS: Mapping[int, tuple[int, int]] = MappingProxyType(
    {
        **{api.key: (api.lowest, api.highest) for api in _APIS.values()},
        _HANDSHAKE: (1, 1),
        API_VERSIONS: (0, 3),
        _AUTHENTICATE: (0, 2),
    }
)
_BUFFER = 4 << 20
_FAILED_LOGIN = 0.1
"""Seconds before a wrong login is answered, as with a real broker."""


@dataclass(frozen=True)
class Login:
    """The one user."""

    user: str
    password: str

    def accepts(self, message: bytes) -> bool:
        """If `message`, of SASL PLAIN, is this login."""
        parts = message.split(b"\0")
        if len(parts) != 3:
            return False
        right_user = hmac.compare_digest(parts[1], self.user.encode())
        return hmac.compare_digest(parts[2], self.password.encode()) and right_user


class Connection:
    """One client. Requests are answered one after the other, in the order in which they came."""

    def __init__(self, broker: Broker, login: Login, host: str) -> None:
        self._broker = broker
        self._login = login
        self._host = host
        self._known = False

    async def answer(self, message: bytes) -> bytes | None:
        """The response to a request, or None if it gets none; raises `ConnectionError` to end the connection."""
        header = read_header(message)
        lowest, highest = _VERSIONS.get(header.key, (0, -1))
        if not lowest <= header.version <= highest:
            if header.key != API_VERSIONS:
                raise ConnectionError(f"no version {header.version} of API {header.key} here, for {header.client}")
            fields = _api_versions() | {"error_code": Code.UNSUPPORTED_VERSION}
            return write_response(API_VERSIONS, 0, header.correlation, fields)
        answer = await self._fields(header, message)
        return None if answer is None else write_response(header.key, header.version, header.correlation, answer)

    async def _fields(self, header: Header, message: bytes) -> Fields | None:
        if header.key == API_VERSIONS:
            return _api_versions()
        request = read_request(header, message)
        if header.key == _HANDSHAKE:
            good = request.mechanism == _MECHANISM
            return {
                "error_code": Code.NONE if good else Code.UNSUPPORTED_SASL_MECHANISM,
                "mechanisms": [_MECHANISM],
            }
        if header.key == _AUTHENTICATE:
            return await self._authenticate(request.auth_bytes)
        if not self._known:
            raise ConnectionError("a request without a login")
        caller = Caller(header.version, header.client, self._host)
        return await _APIS[header.key].answer(self._broker, request, caller)

    async def _authenticate(self, message: bytes) -> Fields:
        self._known = self._login.accepts(message)
        if self._known:
            return {"error_message": None, "auth_bytes": b""}
        await asyncio.sleep(_FAILED_LOGIN)
        text = "Authentication failed: Invalid username or password"
        return {"error_code": Code.SASL_AUTHENTICATION_FAILED, "error_message": text, "auth_bytes": b""}


def _api_versions() -> Fields:
    keys = [{"api_key": key, "min_version": low, "max_version": high} for key, (low, high) in _VERSIONS.items()]
    return {"api_keys": keys}


async def serve(broker: Broker, login: Login, listener: socket.socket) -> None:
    """Serve clients at `listener`, forever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(broker, login, "/" + writer.get_extra_info("peername")[0])
        try:
            await _talk(connection, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if str(error).startswith(("no version", "a request")):
                sys.stderr.write(f"a connection was closed: {error}\n")
        except Exception:  # whatever a client sends, the others are served on
            traceback.print_exc()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(talk, sock=listener, limit=_BUFFER, backlog=256)
    async with server, asyncio.TaskGroup() as tasks:
        tasks.create_task(broker.keep_time())
        await server.serve_forever()


async def _talk(connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > LARGEST_REQUEST:
            raise ConnectionError(f"a request of {length} bytes")
        response = await connection.answer(await reader.readexactly(length))
        if response is not None:
            writer.write(response)
            await writer.drain()

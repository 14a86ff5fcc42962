"""openpi's protocol: websockets, with health and metrics over HTTP on the same port.

As in openpi (`openpi.serving.websocket_policy_server`), `GET /healthz` answers OK, and a refusal is a text message.
Not here: what is served (`server.py`), what a message holds (`messages.py`).
"""

from __future__ import annotations

import hmac
import http
import logging

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vlarun.serve.connection import Door, Gone

__all__ = ["listen"]

_MOST_QUEUED = 4  # messages of one client that are read ahead
_LINGER_SECONDS = 1.0  # for a client's answer when it is told the end


class _Websocket:
    """A `Connection`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise Gone from error

    async def send(self, reply: str | bytes) -> None:
        try:
            await self._connection.send(reply)
        except ConnectionClosed as error:
            raise Gone from error

    async def close(self, code: int, text: str) -> None:
        await self._connection.close(code, text)


async def listen(host: str, port: int, door: Door) -> Server:
    """Let clients in.

    Raises:
        OSError: the port cannot be taken.
    """

    async def client(connection: ServerConnection) -> None:
        await door.client(_Websocket(connection))

    return await serve(
        *(client, host, port),
        compression=None,
        max_size=door.message_bytes,
        max_queue=_MOST_QUEUED,
        close_timeout=_LINGER_SECONDS,
        ping_timeout=None,  # a client that computes for a minute answers no ping, and is not gone
        process_request=lambda connection, request: _http(door, connection, request),
        logger=_quiet(),
    )


def _http(door: Door, connection: ServerConnection, request: Request) -> Response | None:
    """Pages over HTTP, and who may open a websocket."""
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    if request.path == "/metrics":
        return connection.respond(http.HTTPStatus.OK, door.page().decode())
    if request.path != "/":
        return connection.respond(http.HTTPStatus.NOT_FOUND, "there are /, /healthz and /metrics\n")
    given = request.headers.get("Authorization", "")
    if door.api_key and not hmac.compare_digest(given.encode(), f"Api-Key {door.api_key}".encode()):
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "send the header Authorization: Api-Key KEY\n")
    if why := door.refusal():
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")
    return None


def _quiet() -> logging.Logger:
    """Handshakes that fail and messages that are too large are the client's fault: they are not logged as errors."""
    logger = logging.getLogger("vlarun.serve.connections")
    logger.setLevel(logging.CRITICAL)
    return logger

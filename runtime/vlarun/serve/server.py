"""The websocket server: openpi's protocol, health and metrics over HTTP, limits, refusals and a clean end.

A client connects, gets the metadata as its first message, then sends observations one after the other and gets a reply
for each: a map in bytes, or a text that says what was wrong; the connection stays open after a refusal. As in openpi
(`openpi.serving.websocket_policy_server`), `GET /healthz` answers OK. Not here: what a message holds (`messages.py`),
a client's side of a policy (`episode.py`), the runs (`batcher.py`).
"""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vla_isa.errors import VlaError
from vlarun.errors import BackendError, InputError
from vlarun.serve.batcher import AnySession, Batcher, BusyError
from vlarun.serve.episode import Episode, PolicyFactory
from vlarun.serve.messages import pack, unpack
from vlarun.serve.metrics import Metrics

__all__ = ["Limits", "PolicyServer"]

log = logging.getLogger(__name__)
RESET = "reset"  # in an observation: true begins a new episode
_MOST_QUEUED = 4  # messages of one client that are read ahead
_GOING_AWAY, _INTERNAL, _TOO_SLOW, _TRY_LATER = 1001, 1011, 1008, 1013  # RFC 6455, section 7.4.1, and IANA's list


@dataclass(frozen=True)
class Limits:
    """What a client may ask for. Seconds, bytes and counts."""

    message_bytes: int = 16 << 20
    clients: int = 64
    waiting: int = 64  # requests, of all clients
    at_once: int = 8  # requests of a run
    timeout: float = 30.0  # from a request to its reply
    idle: float = 600.0  # without a request; the connection is closed
    grace: float = 10.0  # for what is under way when the server stops


class PolicyServer:
    """Serves one program.

    Args:
        open_session: makes a session of the program.
        episode: makes a client's side of the policy.
        metadata: the first message of every connection.
        api_key: what clients must send as `Authorization: Api-Key KEY`; empty: nothing.

    Raises:
        VlaError: the program or its backend is refused.
    """

    def __init__(
        self,
        open_session: Callable[[], AnySession],
        episode: PolicyFactory,
        metadata: Mapping[str, Any],
        limits: Limits | None = None,
        *,
        entry: str | None = None,
        api_key: str = "",
    ) -> None:
        self.limits, self.metrics = limits or Limits(), Metrics()
        self._open, self._entry = open_session, entry
        self._episode, self._metadata, self._api_key = episode, dict(metadata), api_key
        self._clients: dict[ServerConnection, bool] = {}  # and whether a request of it is under way
        self._stopping = asyncio.Event()

    async def run(self, host: str, port: int, started: Callable[[int], None]) -> None:
        """Serve until `stop` is called or SIGINT or SIGTERM arrives; what is under way then is answered first.

        Args:
            started: called with the port once clients can connect.

        Raises:
            BackendError: the port cannot be taken.
        """
        limits = self.limits
        self._batcher = Batcher(
            self._open, self.metrics, entry=self._entry, most_at_once=limits.at_once, most_waiting=limits.waiting
        )
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.stop)
        work = asyncio.create_task(self._batcher.work())
        try:
            server = await serve(
                *(self._client, host, port),
                compression=None,
                max_size=limits.message_bytes,
                max_queue=_MOST_QUEUED,
                ping_timeout=None,  # a client that computes for a minute answers no ping, and is not gone
                process_request=self._http,
                logger=_quiet(),
            )
        except OSError as error:
            work.cancel()
            raise BackendError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; give another --port"
            ) from error
        started(server.sockets[0].getsockname()[1])
        await self._stopping.wait()
        server.close(close_connections=False)
        await self._let_finish()
        work.cancel()
        await server.wait_closed()

    def stop(self) -> None:
        """Take no more requests, answer those under way, and return from `run`."""
        self._stopping.set()

    async def _let_finish(self) -> None:
        """Close every connection, one with a request under way after its reply, or when the grace is over."""
        for connection, busy in list(self._clients.items()):
            if not busy:
                await connection.close(_GOING_AWAY, "the server stops")
        end = time.monotonic() + self.limits.grace
        while self._clients and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for connection in list(self._clients):
            await connection.close(_GOING_AWAY, "the server stops")

    def _http(self, connection: ServerConnection, request: Request) -> Response | None:
        """Pages over HTTP, and who may open a websocket."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if request.path == "/metrics":
            return connection.respond(http.HTTPStatus.OK, self.metrics.text().decode())
        if request.path != "/":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "there are /, /healthz and /metrics\n")
        given = request.headers.get("Authorization", "")
        if self._api_key and not hmac.compare_digest(given.encode(), f"Api-Key {self._api_key}".encode()):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "send the header Authorization: Api-Key KEY\n")
        if self._stopping.is_set() or len(self._clients) >= self.limits.clients:
            text = f"{len(self._clients)} clients are connected, the most this server takes; come again later\n"
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, text)
        return None

    async def _client(self, connection: ServerConnection) -> None:
        """One connection from its metadata to its end."""
        if len(self._clients) >= self.limits.clients:  # several shook hands at once
            await connection.close(_TRY_LATER, "too many clients")
            return
        self._clients[connection] = False
        self.metrics.clients.set(len(self._clients))
        try:
            await connection.send(pack(self._metadata))
            await self._requests(connection)
        except ConnectionClosed:
            pass
        finally:
            del self._clients[connection]
            self.metrics.clients.set(len(self._clients))

    async def _requests(self, connection: ServerConnection) -> None:
        client = _Client(self._batcher, self._episode())
        previous: float | None = None
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self.limits.idle):
                    message = await connection.recv()
            except TimeoutError:
                await connection.close(_TOO_SLOW, f"no request for {self.limits.idle:g} s")
                return
            self._clients[connection] = True
            start = time.monotonic()
            reply, outcome = await self._answer(client, message, previous)
            try:
                async with asyncio.timeout(self.limits.timeout):
                    await connection.send(reply)
            except TimeoutError:
                self.metrics.count("undelivered")
                await connection.close(_TOO_SLOW, "the reply was not read")
                return
            except ConnectionClosed:
                self.metrics.count("undelivered")
                raise
            self.metrics.count(outcome, time.monotonic() - start)
            self._clients[connection] = False
            previous = time.monotonic() - start
            if client.broken:
                await connection.close(_INTERNAL, "internal error; the server's log has it")
                return
        await connection.close(_GOING_AWAY, "the server stops")

    async def _answer(self, client: _Client, message: str | bytes, previous: float | None) -> tuple[str | bytes, str]:
        """The reply to one request, bytes or the text of a refusal, and what is counted once it is sent."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.timeout):
                reply = await client.infer(message)
        except TimeoutError:
            text = (
                f"no result within {self.limits.timeout:g} s; the server is busy, or slow (--timeout). The policy "
                f"remembers this observation: send '{RESET}': true with the next one to begin anew"
            )
            return text, "timeout"
        except BusyError as error:
            return str(error), "busy"
        except VlaError as error:
            return str(error), "refused"
        except Exception:
            log.exception("a request failed")
            client.broken = True
            return "internal error; the server's log has it", "failed"
        seconds = time.monotonic() - start
        reply["server_timing"] = {"infer_ms": seconds * 1000, **client.timing}
        if previous is not None:
            reply["server_timing"]["prev_total_ms"] = previous * 1000
        return pack(reply), "answered"


class _Client:
    """What one connection keeps: its episode and its session."""

    def __init__(self, batcher: Batcher, episode: Episode) -> None:
        self._batcher, self._episode = batcher, episode
        self._session = batcher.session()
        self._takes_reset = RESET in batcher.input_names  # then it is the program's, not the server's
        self._forget = True
        self.broken = False
        self.timing: dict[str, float] = {}

    async def infer(self, message: str | bytes) -> dict[str, Any]:
        """The reply to an observation.

        Raises:
            VlaError: what is wrong with it, or why the machine stopped.
        """
        if isinstance(message, str):
            raise InputError("the message is text; send an observation as msgpack, in a binary message")
        observation = unpack(message)
        self._batcher.check_room()  # before the episode remembers what it will not act on
        arrays = await asyncio.to_thread(self._inputs, observation)
        outputs = await self._batcher.run(self._session, arrays, self._forget)
        self._forget = False
        if (cycles := self._batcher.cycles(self._session)) is not None:
            self.timing = {"device_cycles": cycles}
        return self._episode.reply(outputs)

    def _inputs(self, observation: dict[str, Any]) -> dict[str, Any]:
        reset = False if self._takes_reset else observation.pop(RESET, False)
        if type(reset) is not bool:
            raise InputError(f"'{RESET}' is {reset!r:.40}; send true to begin an episode, or leave it out")
        self._forget |= self._episode.begins(observation, reset)
        return self._batcher.check(self._session, self._episode.inputs(observation))


def _quiet() -> logging.Logger:
    """Handshakes that fail and messages that are too large are the client's fault: they are not logged as errors."""
    logger = logging.getLogger("vlarun.serve.connections")
    logger.setLevel(logging.CRITICAL)
    return logger

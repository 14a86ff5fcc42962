"""The server: clients of all protocols, limits, refusals and a clean end.

A client connects, gets the metadata as its first message, then sends observations one after the other and gets a reply
for each: a map in bytes, or a text that says what was wrong; the connection stays open after a refusal. Not here: the
protocols (`websocket.py`, `tcp.py`), what a message holds (`messages.py`), a client's side of a policy (`episode.py`),
the runs (`batcher.py`).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vla_isa.errors import VlaError
from vlarun.errors import BackendError, InputError
from vlarun.serve import tcp, websocket
from vlarun.serve.batcher import AnySession, Batcher, BusyError
from vlarun.serve.connection import GOING_AWAY, INTERNAL, TOO_SLOW, TRY_LATER, Connection, Door, Gone
from vlarun.serve.episode import Episode, PolicyFactory
from vlarun.serve.messages import pack, unpack
from vlarun.serve.metrics import Metrics

__all__ = ["Limits", "PolicyServer"]

log = logging.getLogger(__name__)
_Server = TypeVar("_Server")
_LAST_SECONDS = 1.0  # after the grace, until clients that still do not go are cut off
_REPEAT_SECONDS = 60.0  # between two lines of the log that say the same
RESET, ENTRY = "reset", "entry"  # in an observation: true begins a new episode; the entry point of its run


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
        entry: entry point of requests that name none.
        api_key: what clients must send; empty: nothing.

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
        self._clients: dict[Connection, bool] = {}  # and whether a request of it is under way
        self._handlers: set[asyncio.Task[Any]] = set()
        self._stopping, self._hurry = asyncio.Event(), False

    async def run(
        self, host: str, port: int, started: Callable[[int, int | None], None], tcp_port: int | None = None
    ) -> None:
        """Serve until `stop` is called or SIGINT or SIGTERM arrives; what is under way then is answered first.

        Args:
            port: of openpi's protocol; 0 takes a free one.
            started: called with both ports once clients can connect.
            tcp_port: of the framed protocol, served beside the other one; None: it is not.

        Raises:
            BackendError: a port cannot be taken.
        """
        limits = self.limits
        self._batcher = Batcher(
            self._open, self.metrics, entry=self._entry, most_at_once=limits.at_once, most_waiting=limits.waiting
        )
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_ScarceFiles())
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, self.stop)
        work = asyncio.create_task(self._batcher.work())
        door = Door(self._refusal, self._client, limits.clients, limits.message_bytes, self._api_key, self.metrics.text)
        try:
            server = await _listening(websocket.listen(host, port, door), f"{host}:{port}", "--port")
            framed, ports = None, [server.sockets[0].getsockname()[1], None]
            if tcp_port is not None:
                framed = await _listening(tcp.listen(host, tcp_port, door), f"{host}:{tcp_port}", "--tcp")
                ports[1] = framed.sockets[0].getsockname()[1]
        except BackendError:
            work.cancel()
            raise
        started(*ports)
        await self._stopping.wait()
        server.close(close_connections=False)
        if framed is not None:
            framed.close()
        await self._let_finish()
        work.cancel()
        await asyncio.wait([asyncio.create_task(server.wait_closed())], timeout=_LAST_SECONDS / 3)

    def stop(self) -> None:
        """Take no more requests, answer those under way, and return from `run`; called again: answer none."""
        self._hurry = self._stopping.is_set()
        self._stopping.set()

    async def _let_finish(self) -> None:
        """Close every connection, one with a request under way after its reply, or when the grace is over."""
        closing = [self._closing(connection) for connection, busy in self._clients.items() if not busy]
        end = time.monotonic() + self.limits.grace
        while self._clients and time.monotonic() < end and not self._hurry:
            await asyncio.sleep(0.01)
        self._batcher.stop()
        await asyncio.sleep(0)  # those who waited for a run go on, and are told
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=_LAST_SECONDS / 3)
        closing += [self._closing(connection) for connection in self._clients]
        if closing:
            await asyncio.wait(closing, timeout=_LAST_SECONDS / 3)
        for handler in self._handlers:
            handler.cancel()

    def _closing(self, connection: Connection) -> asyncio.Task[None]:
        return asyncio.create_task(connection.close(GOING_AWAY, "the server stops"))

    def _refusal(self) -> str:
        """Why no more clients can come now; empty: one can."""
        if self._stopping.is_set() or len(self._clients) >= self.limits.clients:
            return f"{len(self._clients)} clients are connected, the most this server takes; come again later"
        return ""

    async def _client(self, connection: Connection) -> None:
        """One connection from its metadata to its end."""
        if len(self._clients) >= self.limits.clients:  # several shook hands at once
            await connection.close(TRY_LATER, "too many clients")
            return
        self._clients[connection] = False
        self.metrics.clients.set(len(self._clients))
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            try:
                client = _Client(self._batcher, self._episode())
            except Exception:
                log.exception("a client cannot be served")
                await connection.close(INTERNAL, "internal error; the server's log has it")
                return
            await connection.send(pack(self._metadata))
            await self._requests(connection, client)
        except Gone:
            pass
        finally:
            self._handlers.discard(handler)
            del self._clients[connection]
            self.metrics.clients.set(len(self._clients))

    async def _requests(self, connection: Connection, client: _Client) -> None:
        previous: float | None = None
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self.limits.idle):
                    message = await connection.receive()
            except TimeoutError:
                await connection.close(TOO_SLOW, f"no request for {self.limits.idle:g} s")
                return
            self._clients[connection] = True
            start = time.monotonic()
            reply, outcome = await self._answer(client, message, previous)
            try:
                async with asyncio.timeout(self.limits.timeout):
                    await connection.send(reply)
            except TimeoutError:
                self.metrics.count("undelivered")
                await connection.close(TOO_SLOW, "the reply was not read")
                return
            except Gone:
                self.metrics.count("undelivered")
                raise
            self.metrics.count(outcome, time.monotonic() - start)
            self._clients[connection] = False
            previous = time.monotonic() - start
            if client.broken:
                await connection.close(INTERNAL, "internal error; the server's log has it")
                return
        await connection.close(GOING_AWAY, "the server stops")

    async def _answer(self, client: _Client, message: str | bytes, previous: float | None) -> tuple[str | bytes, str]:
        """The reply to one request, bytes or the text of a refusal, and what is counted once it is sent."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.timeout):
                reply = await client.infer(message)
            seconds = time.monotonic() - start
            reply["server_timing"] = {"infer_ms": seconds * 1000, **client.timing}
            if previous is not None:
                reply["server_timing"]["prev_total_ms"] = previous * 1000
            return pack(reply), "answered"
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


class _Client:
    """What one connection keeps: its episode and its session."""

    def __init__(self, batcher: Batcher, episode: Episode) -> None:
        self._batcher, self._episode = batcher, episode
        self._session = batcher.session()
        self._own = {RESET, ENTRY} - batcher.input_names  # keys that are the server's, as no input is called so
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
        asked = self._take(observation, ENTRY)
        if asked is not None and (self._episode.calls or self._episode.entry is not None):
            raise InputError(f"the policy says which entry points run; leave out '{ENTRY}'")
        with self._batcher.room():  # the episode remembers what it will act on
            runs = await asyncio.to_thread(self._runs, observation, self._batcher.entry(asked))
        outputs: dict[str, Any] = {}
        cycles: list[int | None] = []
        for entry, arrays in runs:
            computed = await self._batcher.run(self._session, arrays, self._forget, entry)
            self._forget = False
            outputs |= computed.outputs
            cycles.append(computed.cycles)
        counted = [c for c in cycles if c is not None]
        if len(counted) == len(cycles):
            self.timing = {"device_cycles": sum(counted)}
        return self._episode.reply(outputs)

    def _take(self, observation: dict[str, Any], key: str, default: object = None) -> Any:
        return observation.pop(key, default) if key in self._own else default

    def _runs(self, observation: dict[str, Any], entry: str | None) -> list[tuple[str | None, dict[str, Any]]]:
        """The entry points that answer a request, and the arrays of each."""
        reset = self._take(observation, RESET, False)
        if type(reset) is not bool:
            raise InputError(f"'{RESET}' is {reset!r:.40}; send true to begin an episode, or leave it out")
        self._forget |= self._episode.begins(observation, reset)
        inputs = self._episode.inputs(observation)
        if self._episode.entry is not None:
            entry = self._episode.entry(inputs)
        if not self._episode.calls:
            return [(entry, self._batcher.check(self._session, inputs, entry))]
        return [
            (call.entry, self._batcher.check(self._session, {name: inputs[name] for name in call.given}, call.entry))
            for call in self._episode.calls
        ]


class _ScarceFiles:
    """The event loop's exception handler: where the process may open no more files, asyncio reports it a hundred times
    a second; here that is one line a minute."""

    def __init__(self) -> None:
        self._said = -_REPEAT_SECONDS

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "socket.accept()" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._said >= _REPEAT_SECONDS:
            self._said = time.monotonic()
            log.error("no more connections can be taken now: %s", context.get("exception"))


async def _listening(listen: Awaitable[_Server], place: str, option: str) -> _Server:
    try:
        return await listen
    except OSError as error:
        raise BackendError(f"cannot listen on {place}: {error.strerror or error}; give another {option}") from error

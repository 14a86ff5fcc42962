"""What goes wrong beside a request: an interrupted client, an end that nothing holds up, too many strangers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_program import good_inputs, make_program
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from vlarun.errors import BackendError
from vlarun.serve.client import Client, ServerError
from vlarun.serve.episode import Plain
from vlarun.serve.messages import pack
from vlarun.serve.server import Limits, PolicyServer
from vlarun.session import Session

from .conftest import Serve
from .test_server import answer, request
from .test_tcp import dial

Stop = Callable[[], object]
pytestmark = pytest.mark.timeout(120)


def test_an_interrupted_request_leaves_no_reply_for_the_next(
    serve: Serve, program_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(size: int) -> bytes:
        raise KeyboardInterrupt

    with serve() as server, Client("127.0.0.1", server.tcp_port) as mine:
        with pytest.raises(TypeError):
            mine.infer({**request(1), "bias": object()})  # is not sent
        with pytest.raises(ServerError):
            mine.infer({})
        np.testing.assert_array_equal(mine.infer(request(1))["sum"], answer(request(1), program_file)["sum"])
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(mine, "_read", interrupted)
            mine.infer(request(1))
        with pytest.raises(BackendError):
            mine.infer(request(2))


class Endless(Session):
    """A run ends when the server did."""

    def __init__(self) -> None:
        super().__init__(make_program())
        self.begun, self.go, self.ended = threading.Event(), threading.Event(), False

    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        self.begun.set()
        self.go.wait(30)
        self.ended = True
        return super().run(*args, **options)


def serving(server: PolicyServer, clients: Callable[[Stop, int, int], None]) -> None:
    """Run a server here, and its clients in a thread."""

    async def main() -> None:
        loop, asked = asyncio.get_running_loop(), []

        def started(*ports: Any) -> None:
            stop = partial(loop.call_soon_threadsafe, server.stop)
            asked.append(loop.run_in_executor(None, clients, stop, *ports))

        await server.run("127.0.0.1", 0, started, 0)
        await asked[0]

    asyncio.run(main())


@pytest.mark.parametrize("twice", [False, True])
def test_a_run_without_end_does_not_hold_up_the_servers(twice: bool) -> None:
    """The grace, or a second signal, ends the wait; the clients of both protocols are told."""
    session, told = Endless(), []
    server = PolicyServer(lambda: session, Plain, {}, Limits(timeout=25, grace=20 if twice else 0.1))

    def clients(stop: Stop, port: int, tcp_port: int) -> None:
        with connect(f"ws://127.0.0.1:{port}", compression=None) as other, Client("127.0.0.1", tcp_port) as mine:
            other.recv()
            other.send(pack(request(1)))
            session.begun.wait(30)
            for _ in range(1 + twice):
                threading.Timer(0.3, stop).start()
            with pytest.raises(ServerError) as refused:
                mine.infer(request(2))
            told.extend([str(refused.value), other.recv()])
            with pytest.raises(ConnectionClosed):
                other.recv()

    serving(server, clients)
    try:
        assert not session.ended
        assert len(told) == 2 and all("the server stops" in text for text in told)
    finally:
        session.go.set()


def test_strangers_are_counted(serve: Serve) -> None:
    """Of `--clients 2`, four may be at their greeting; the fifth is cut off, those who greeted are served."""
    with (
        serve("--clients", "2") as server,
        Client("127.0.0.1", server.tcp_port) as mine,
        contextlib.ExitStack() as held,
    ):
        for _ in range(4):
            held.enter_context(dial(server, b""))
        with dial(server, b"") as fifth, contextlib.suppress(ConnectionResetError):
            assert fifth.recv(1) == b""
        mine.infer(request(0))
        held.close()
        server.stop()
        assert server.errors == ""


def test_the_log_is_not_flooded_where_files_are_scarce(caplog: pytest.LogCaptureFixture) -> None:
    server = PolicyServer(lambda: Session(make_program()), Plain, {})

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def started(*ports: Any) -> None:
            for _ in range(100):
                message = "socket.accept() out of system resource"
                loop.call_exception_handler({"message": message, "exception": OSError(24, "Too many open files")})
            loop.call_exception_handler({"message": "another"})
            server.stop()

        await server.run("127.0.0.1", 0, started, 0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert [record.getMessage()[:40] for record in caplog.records] == [
        "no more connections can be taken now: [E",
        "another",
    ]


class Broken(Plain):
    """A policy whose reply is nothing that can be sent."""

    def reply(self, outputs: Any) -> dict[str, Any]:
        return {"actions": object()}


def unmade() -> Plain:
    raise RuntimeError("no memory")


@pytest.mark.parametrize("episode", [Broken, unmade])
def test_what_cannot_be_sent_or_made_is_told(episode: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = PolicyServer(lambda: Session(make_program()), episode, {})
    told: list[str] = []

    def clients(stop: Stop, _: int, tcp_port: int) -> None:
        try:
            with Client("127.0.0.1", tcp_port) as mine:
                mine.infer(good_inputs())
        except (ServerError, BackendError) as error:
            told.append(str(error))
        finally:
            stop()

    serving(server, clients)
    assert len(told) == 1 and "internal error; the server's log has it" in told[0]
    assert len(caplog.records) == 1

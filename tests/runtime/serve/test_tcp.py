"""The framed TCP protocol from outside: its client, bytes written by hand, hostile ones, limits, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import struct
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from openpi_client import msgpack_numpy

from vlarun.errors import BackendError
from vlarun.serve import tcp
from vlarun.serve.client import Client, ServerError
from vlarun.serve.connection import Door

from .conftest import Running, Serve
from .test_server import REFUSED, answer, client, request

pytestmark = pytest.mark.timeout(120)

HELLO = b"VLAT\x01\x00\x00\x00"  # the protocol's bytes are written out here: its own packer is what is tested


def framed(content: bytes, kind: int = 0, size: int | None = None) -> bytes:
    return struct.pack("<IB", len(content) if size is None else size, kind) + content


def exactly(raw: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = raw.recv(size - len(found))
        assert part, f"closed after {len(found)} of {size} bytes"
        found += part
    return found


def frame(raw: socket.socket) -> tuple[int, bytes]:
    size, kind = struct.unpack("<IB", exactly(raw, 5))
    return kind, exactly(raw, size)


def dial(server: Running, first: bytes = HELLO) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.tcp_port), timeout=20)
    raw.sendall(first)
    return raw


def greeted(server: Running) -> socket.socket:
    raw = dial(server)
    assert exactly(raw, 8) == HELLO
    kind, metadata = frame(raw)
    assert kind == 0 and "inputs" in msgpack.unpackb(metadata)
    return raw


def end(raw: socket.socket) -> tuple[int, str]:
    """Code and text of the server's END, behind which nothing comes."""
    kind, content = frame(raw)
    assert kind == 2
    assert raw.recv(1) == b""
    raw.close()
    return struct.unpack("<H", content[:2])[0], content[2:].decode()


def metrics(server: Running) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as found:
        return found.read().decode()


def wait_for(server: Running, line: str) -> None:
    for _ in range(300):
        if line in metrics(server):
            return
        time.sleep(0.1)
    raise AssertionError(f"{line} never came: {metrics(server)}")


def test_its_client_gets_what_openpis_client_gets(serve: Serve, program_file: Path) -> None:
    with serve() as server:
        other = client(server)
        with Client("127.0.0.1", server.tcp_port) as mine:
            assert mine.metadata == other.get_server_metadata()
            for number in range(3):
                found, same = mine.infer(request(number)), other.infer(request(number))
                assert found.pop("server_timing").keys() == same.pop("server_timing").keys()
                wanted = answer(request(number), program_file)
                assert found.keys() == same.keys() == wanted.keys()
                for name, value in wanted.items():
                    np.testing.assert_array_equal(found[name], value)
                    assert found[name].dtype == value.dtype and found[name].shape == value.shape
            with pytest.raises(ServerError, match="imagee"):
                mine.infer({**request(0), "imagee": np.ones(1)})
            mine.infer(request(0))  # the connection is open
        text = metrics(server)
        assert 'outcome="answered"} 7.0' in text and 'outcome="refused"} 1.0' in text


def test_bytes_written_by_hand(serve: Serve, program_file: Path) -> None:
    with serve() as server, greeted(server) as raw:
        for name, (data, message) in REFUSED.items():
            raw.sendall(framed(data))
            kind, text = frame(raw)
            assert kind == 1 and message in text.decode() and "Traceback" not in text.decode(), name
        whole = framed(msgpack_numpy.packb(request(1)))
        for byte in (whole[:1], whole[1:5], whole[5:6], whole[6:]):  # in pieces, with pauses
            raw.sendall(byte)
            time.sleep(0.05)
        raw.sendall(framed(msgpack_numpy.packb(request(2))) * 2)  # ahead of the replies
        for number in (1, 2, 2):
            kind, content = frame(raw)
            found = msgpack_numpy.unpackb(content)
            assert kind == 0
            np.testing.assert_array_equal(found["sum"], answer(request(number), program_file)["sum"])


BROKEN = {
    "a giant length": (framed(b"", size=0xFFFFFFFF), 1009, "4294967295 bytes; at most 1048576"),
    "one byte too many": (framed(b"", size=(1 << 20) + 1), 1009, "1048577 bytes; at most 1048576"),
    "too large, and sent": (framed(bytes(3 << 20)), 1009, "3145728 bytes"),
    "another kind": (framed(b"", kind=1), 1002, "kind 1"),
    "an unknown kind": (framed(b"", kind=255), 1002, "kind 255"),
}
STRANGERS = {
    "a later version": (b"VLAT\x02\x00\x00\x00", 1002, "version 2 is not known; this server speaks 1"),
    "version 0": (b"VLAT\x00\x00\x00\x00", 1002, "version 0 is not known"),
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002, "begins with 'VLAT'"),
    "the earlier system": (struct.pack("<ii", 3, 0) + bytes(196_608 + 128), 1002, "begins with 'VLAT'"),
    "a long key": (b"VLAT\x01\x00\xff\xff", 1008, "65535 bytes"),
}


def test_what_is_not_the_protocol_is_told_so(serve: Serve, program_file: Path) -> None:
    with serve("--max-message", "1") as server:
        for name, (data, code, message) in BROKEN.items():
            raw = greeted(server)
            raw.sendall(data)
            found = end(raw)
            assert found[0] == code and message in found[1], name
        with greeted(server) as raw:
            raw.sendall(framed(bytes(1 << 20)))  # as large as it may be, and no msgpack
            assert frame(raw)[0] == 1
        for name, (data, code, message) in STRANGERS.items():
            raw = dial(server, data)
            assert exactly(raw, 8) == HELLO
            found = end(raw)
            assert found[0] == code and message in found[1], name
        with Client("127.0.0.1", server.tcp_port) as mine:
            np.testing.assert_array_equal(mine.infer(request(1))["sum"], answer(request(1), program_file)["sum"])
        assert server.stop() == 0
        assert server.errors == ""


def test_who_leaves_in_the_middle_does_no_harm(serve: Serve) -> None:
    good = framed(msgpack_numpy.packb(request(0)))
    with serve() as server, Client("127.0.0.1", server.tcp_port) as mine:
        for cut in (0, 1, 4, 5, 6, len(good) // 2, len(good) - 1, len(good)):
            with greeted(server) as raw:
                raw.sendall(good[:cut])
        for cut in (0, 1, 7, 8):
            dial(server, HELLO[:cut]).close()
        mine.infer(request(0))
        wait_for(server, "vlarun_clients 1.0")
        assert server.stop() == 0
        assert "0 failed" in server.output and server.errors == ""


def test_a_thousand_changed_bytes(serve: Serve, program_file: Path) -> None:
    """Whatever is changed, cut or repeated: an answer or an end, and the next client is served."""
    rng = random.Random(0)
    good = HELLO + framed(msgpack_numpy.packb(request(0)))
    with serve("--max-message", "1", "--idle", "5") as server:
        for _ in range(150):
            data = bytearray(good)
            for _ in range(rng.randrange(1, 8)):
                data[rng.randrange(len(data) if rng.random() < 0.5 else 40)] = rng.randrange(256)
            data = data[: rng.randrange(len(data))] if rng.random() < 0.3 else data * rng.randrange(1, 3)
            with dial(server, bytes(data)) as raw:
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(1 << 16):
                    pass
        with Client("127.0.0.1", server.tcp_port) as mine:
            np.testing.assert_array_equal(mine.infer(request(1))["sum"], answer(request(1), program_file)["sum"])
        assert server.stop() == 0
        assert "0 failed" in server.output and server.errors == ""


def test_limits_are_those_of_the_websocket_and_counted_together(serve: Serve) -> None:
    with serve("--clients", "2", "--idle", "1") as server:
        first, second = Client("127.0.0.1", server.tcp_port), client(server)
        with pytest.raises(BackendError, match=r"2 clients are connected.*\(1013\)"):
            Client("127.0.0.1", server.tcp_port)
        second.infer(request(0))
        time.sleep(2)
        with pytest.raises(BackendError, match=r"no request for 1 s \(1008\)"):
            first.infer(request(0))
        Client("127.0.0.1", server.tcp_port).infer(request(0))


def test_a_reply_that_nobody_reads(serve: Serve) -> None:
    """The server waits its timeout, then drops the client; others are served meanwhile."""
    with serve("--timeout", "1") as server:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        raw.connect(("127.0.0.1", server.tcp_port))
        raw.sendall(HELLO)
        raw.settimeout(0.2)
        try:
            for _ in range(100_000):
                raw.sendall(framed(msgpack_numpy.packb(request(0))))
        except (TimeoutError, OSError):
            pass
        with Client("127.0.0.1", server.tcp_port) as mine:
            mine.infer(request(0))
        wait_for(server, 'outcome="undelivered"} 1.0')
        raw.close()
        server.stop()
        assert server.errors == ""


def test_a_key(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    with serve("--api-key-file", str(tmp_path / "key")) as server:
        for key in ("", "other", "s3cret2"):
            with pytest.raises(BackendError, match="the key is not this server's"):
                Client("127.0.0.1", server.tcp_port, api_key=key)
        Client("127.0.0.1", server.tcp_port, api_key="s3cret").infer(request(0))


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_the_end(serve: Serve, by: signal.Signals) -> None:
    """Requests under way are answered; clients of both protocols are told; none that says nothing holds it up."""
    with serve() as server:
        asking = [Client("127.0.0.1", server.tcp_port), client(server)]
        silent, half = greeted(server), dial(server, HELLO[:3])
        answered, told = [0, 0], ["", ""]
        started = threading.Event()

        def ask(who: int) -> None:
            try:
                while True:
                    asking[who].infer(request(who))
                    answered[who] += 1
                    started.set()
            except Exception as error:
                told[who] = str(error)

        threads = [threading.Thread(target=ask, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        assert server.stop(by) == 0
        for thread in threads:
            thread.join()
        assert end(silent) == (1001, "the server stops")
        half.close()
        assert "the server stops" in told[0] and "1001" in told[0] and "1001" in told[1]
        assert f"Stopped: {sum(answered)} answered, 0 refused, 0 busy, 0 timeout, 0 failed" in server.output
        assert server.errors == ""


def test_a_reply_behind_the_end_is_undelivered() -> None:
    """A server that stops closes a connection whose request is under way; its reply comes too late, and is no error."""
    found: list[str] = []

    async def talk(connection: Any) -> None:
        closing = asyncio.create_task(connection.close(1001, "the server stops"))
        while not closing.done() and not connection._closed:
            await asyncio.sleep(0)
        for _ in range(20):  # the end of the stream is written
            await asyncio.sleep(0)
        try:
            await connection.send(b"late")
        except Exception as error:
            found.append(type(error).__name__)
        await closing

    async def both() -> bytes:
        door = Door(lambda: "", talk, 1, 100, "", lambda: b"")
        async with await tcp.listen("127.0.0.1", 0, door) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(HELLO)
            said = await reader.read()
            writer.close()
            while not found:
                await asyncio.sleep(0)
        return said

    said = asyncio.run(both())
    assert found == ["Gone"] and b"the server stops" in said and b"late" not in said


class Fake:
    """A server of given bytes."""

    def __init__(self, data: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(data,))
        self._thread.start()

    def _serve(self, data: bytes) -> None:
        connection, _ = self._socket.accept()
        with connection, contextlib.suppress(ConnectionResetError):  # the client need not read it all
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._thread.join(timeout=20)


META = framed(msgpack.packb({"inputs": {}}))
SERVERS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "in the middle of a frame"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak the framed protocol"),
    "a later version": (b"VLAT\x07\x00\x02\x00??" + META, "speaks version 7 of the protocol, this client 1"),
    "an end": (HELLO + framed(b"\xf5\x03busy", 2), r"busy \(1013\)"),
    "an end without a code": (HELLO + framed(b"", 2), r"\(0\)"),
    "a giant length": (HELLO + META + framed(b"", size=0xFFFFFFFF), "kind 0 and 4294967295 bytes"),
    "an unknown kind": (HELLO + META + framed(b"", 9), "kind 9"),
    "no msgpack": (HELLO + META + framed(b"\xc1"), "cannot be read"),
    "half a reply": (HELLO + META + framed(b"\x80", size=2), "in the middle of a frame"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_breaks_the_protocol(name: str) -> None:
    data, message = SERVERS[name]
    with Fake(data) as fake, pytest.raises(BackendError, match=message), Client("127.0.0.1", fake.port) as mine:
        mine.infer({})


def test_nobody_there(serve: Serve, program_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from vla_toolchain.vlarun_cli import main

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BackendError, match="cannot connect to"):
        Client("127.0.0.1", port)
    with serve() as server:
        arguments: list[Any] = ["serve", program_file, "--port", 0, "--tcp", server.tcp_port]
        assert main([str(each) for each in arguments]) == 1
    assert "give another --tcp" in capfd.readouterr().err

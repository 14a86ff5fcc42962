"""The server from outside: openpi's own client, health and metrics, refusals, limits, and its end."""

from __future__ import annotations

import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hand_program import good_inputs
from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import vlarun

from .conftest import Running, Serve

pytestmark = pytest.mark.timeout(120)


def client(server: Running, **options: Any) -> WebsocketClientPolicy:
    return WebsocketClientPolicy("127.0.0.1", server.port, **options)


def page(server: Running, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as found:
        return found.read().decode()


def request(number: int) -> dict[str, np.ndarray]:
    """Another one for every number; those of one number are equal."""
    inputs = good_inputs()
    return {"image": np.roll(inputs["image"], number), "bias": inputs["bias"] + number % 5}


def answer(inputs: dict[str, np.ndarray], program: Path) -> dict[str, np.ndarray]:
    return vlarun.Session(program).run(inputs)


def test_the_client_of_openpi(serve: Serve, program_file: Path) -> None:
    with serve() as server:
        policy = client(server)
        metadata = policy.get_server_metadata()
        assert metadata["inputs"]["image"] == {"shape": [1, 3, 5, 6], "dtype": "float32", "optional": False}
        assert set(metadata["outputs"]) == {"sum", "copy"} and metadata["host_partitions"] == 0
        for number in range(3):
            found = policy.infer(request(number))
            timing = found.pop("server_timing")
            assert timing["infer_ms"] > 0 and timing["device_cycles"] > 0
            assert ("prev_total_ms" in timing) == (number > 0)
            wanted = answer(request(number), program_file)
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_array_equal(found[name], value)
                assert found[name].dtype == value.dtype and found[name].shape == value.shape
        assert page(server, "/healthz") == "OK\n"
        assert 'vlarun_requests_total{outcome="answered"} 3.0' in page(server, "/metrics")
        assert server.stop() == 0
        assert "Stopped: 3 answered, 0 refused" in server.output and "p99" in server.output
        assert server.errors == ""


def test_many_clients_at_once_get_their_own_replies(serve: Serve, program_file: Path) -> None:
    wanted = [answer(request(number), program_file)["sum"] for number in range(7)]
    wrong: list[str] = []

    def ask(server: Running, who: int) -> None:
        policy = client(server)
        for step in range(50):
            number = (who * 3 + step) % 7
            if not np.array_equal(policy.infer(request(number))["sum"], wanted[number]):
                wrong.append(f"client {who}, step {step}")

    with serve() as server:
        threads = [threading.Thread(target=ask, args=(server, who)) for who in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = page(server, "/metrics")
    assert not wrong
    assert 'vlarun_requests_total{outcome="answered"} 300.0' in metrics
    runs = next(line for line in metrics.splitlines() if line.startswith("vlarun_batch_runs_count"))
    assert float(runs.split()[1]) < 300  # some shared a run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_verilog_machine_answers_the_same_from_the_first_request_on(serve: Serve, program_file: Path) -> None:
    """It is built before clients can connect: none waits for that, however short its patience."""
    with serve("--backend", "rtl", "--timeout", "10") as server:
        found = client(server).infer(request(1))
        for name, value in answer(request(1), program_file).items():
            np.testing.assert_array_equal(found[name], value)


REFUSED = {
    "no msgpack": (b"\xc1", "no msgpack"),
    "an input is missing": (msgpack_numpy.packb({"image": request(0)["image"]}), "bias"),
    "an unknown input": (msgpack_numpy.packb({**request(0), "imagee": np.ones(1)}), "imagee"),
    "a wrong shape": (msgpack_numpy.packb({**request(0), "bias": np.ones((1, 3))}), "[1, 3]"),
    "not a number": (msgpack_numpy.packb({**request(0), "bias": np.array([[np.nan, 1]])}), "finite"),
    "two runs": (msgpack_numpy.packb(good_inputs(2)), "2 runs"),
    "reset is no truth": (msgpack_numpy.packb({**request(0), "reset": 2}), "'reset' is 2"),
    "a sentence": (msgpack_numpy.packb({**request(0), "bias": "hello"}), "bias"),
    "nothing": (msgpack_numpy.packb({**request(0), "bias": None}), "bias"),
    "a map": (msgpack_numpy.packb({**request(0), "bias": {"a": 1}}), "bias"),
}


def test_refusals_leave_the_connection_open(serve: Serve, program_file: Path) -> None:
    with serve() as server, connect(f"ws://127.0.0.1:{server.port}") as connection:
        msgpack.unpackb(connection.recv())
        for name, (data, message) in REFUSED.items():
            connection.send(data)
            reply = connection.recv()
            assert isinstance(reply, str) and message in reply and "Traceback" not in reply, (name, reply)
        connection.send("text")
        assert "binary message" in connection.recv()
        connection.send(msgpack_numpy.packb(request(1)))
        found = msgpack_numpy.unpackb(connection.recv())
        np.testing.assert_array_equal(found["sum"], answer(request(1), program_file)["sum"])
        assert f'vlarun_requests_total{{outcome="refused"}} {len(REFUSED) + 1}.0' in page(server, "/metrics")
        server.stop()
        assert server.errors == ""


def test_limits(serve: Serve) -> None:
    with serve("--clients", "2", "--max-message", "1", "--idle", "0.5") as server:
        first = client(server)
        with connect(f"ws://127.0.0.1:{server.port}") as large:
            large.recv()
            with pytest.raises(InvalidStatus, match="503"):
                client(server)
            large.send(bytes(1 << 20 | 1))
            with pytest.raises(ConnectionClosed) as caught:
                large.recv()
            assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009
        first.infer(request(0))
        time.sleep(1)
        with pytest.raises(ConnectionClosed, match="no request for"):
            first.infer(request(0))
        client(server).infer(request(0))
        for path, status in (("/x", 404), ("/", 426)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                page(server, path)
            assert refused.value.code == status


def test_a_key(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    with serve("--api-key-file", str(tmp_path / "key")) as server:
        for options in ({}, {"api_key": "other"}):
            with pytest.raises(InvalidStatus, match="401"):
                client(server, **options)
        client(server, api_key="s3cret").infer(request(0))
        assert page(server, "/healthz") == "OK\n"


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_end(serve: Serve, by: signal.Signals) -> None:
    with serve() as server:
        policies = [client(server) for _ in range(4)]
        answered, closed = [0] * 4, [0] * 4
        started = threading.Event()

        def ask(who: int) -> None:
            try:
                while True:
                    policies[who].infer(request(who))
                    answered[who] += 1
                    started.set()
            except ConnectionClosed as error:
                closed[who] = error.rcvd.code if error.rcvd else -1

        threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        assert server.stop(by) == 0
        for thread in threads:
            thread.join()
        assert closed == [1001] * 4
        assert f"Stopped: {sum(answered)} answered, 0 refused, 0 busy, 0 timeout, 0 failed" in server.output


def test_streams_that_are_no_websocket_do_no_harm(serve: Serve) -> None:
    with serve() as server:
        policy = client(server)
        for data in (b"\0" * 1000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000, b"\x16\x03\x01", b""):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
                raw.sendall(data)
        with connect(f"ws://127.0.0.1:{server.port}") as half:  # a frame that says it is longer than what follows
            half.socket.sendall(b"\x82\xfe\xff\xff")
            policy.infer(request(0))
        policy.infer(request(0))
        server.stop()
        assert "2 answered" in server.output and server.errors == ""


def test_two_servers_cannot_share_a_port(serve: Serve, program_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from vla_toolchain.vlarun_cli import main

    with serve() as server:
        assert main(["serve", str(program_file), "--port", str(server.port)]) == 1
    assert "give another --port" in capfd.readouterr().err

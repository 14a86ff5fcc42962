"""The policy server under load: openpi's own client many times over, beside a stream of malformed and oversized
messages of both protocols. Prints latencies, lost or wrong replies, and the server's memory from its start to the end.

    python benchmarks/serve_load.py [--graph demo_policy] [--clients 8] [--requests 1000] [--protocol tcp] [--json FILE]

Every reply is compared with what a session of its own gives. Clients run in processes of their own, so that they do not
slow the server down more than they would from another computer with this one's cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from prepare import compile_graph, machine, random_inputs
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import vlarun
from vla_isa import image
from vlarun.serve import frames
from vlarun.serve.client import Client

KINDS = 5  # of requests
LIMIT = 1 << 20  # bytes of a message


def memory(pid: int) -> int:
    """MB of the process that are in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found
    return int(found[1]) // 1024


def sampled(pid: int, samples: list[int], stop: threading.Event) -> None:
    """Memory ten times a second until `stop`."""
    while not stop.wait(0.1):
        samples.append(memory(pid))


def ask(protocol: str, port: int, number: int, requests: int, cases: list[tuple[Any, Any]], found: Any) -> None:
    """One client: its latencies in seconds, and how many replies were not right."""
    client: Any = WebsocketClientPolicy("127.0.0.1", port) if protocol == "openpi" else Client("127.0.0.1", port)
    seconds, wrong = [], 0
    for step in range(requests):
        inputs, wanted = cases[(number + step) % KINDS]
        start = time.perf_counter()
        reply = client.infer(inputs)
        seconds.append(time.perf_counter() - start)
        wrong += any(not np.array_equal(reply[name], value) for name, value in wanted.items())
    found.put((seconds, wrong))


def disturb(port: int, stop: Any, found: Any) -> None:
    """Bad messages over the websocket until `stop`; how many there were."""
    rng, count = random.Random(0), 0
    while not stop.is_set():
        try:
            with connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None) as connection:
                connection.recv()
                for _ in range(20):
                    connection.send(rng.randbytes(rng.randrange(2000)))
                    connection.recv()
                    count += 1
                connection.send(bytes(LIMIT + 1))
                count += 1
                connection.recv()
        except ConnectionClosed:
            pass
        time.sleep(0.01)
    found.put(count)


def disturb_tcp(port: int, stop: Any, found: Any) -> None:
    """Bad frames until `stop`: no greeting, giant lengths, unknown kinds, no msgpack, and half of one."""
    rng, count = random.Random(1), 0
    hello, head = frames.greeting(), frames.FRAME_HEAD
    while not stop.is_set():
        for data in (
            rng.randbytes(1000),
            hello + head.pack(0xFFFFFFFF, frames.MESSAGE),
            hello + head.pack(LIMIT + 1, frames.MESSAGE) + bytes(LIMIT + 1),
            hello + head.pack(3, 77) + b"abc",
            hello + frames.frame(frames.MESSAGE, rng.randbytes(rng.randrange(2000))),
            hello + head.pack(LIMIT, frames.MESSAGE) + rng.randbytes(LIMIT // 2),
        ):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(1 << 16):
                    pass
            count += 1
        time.sleep(0.01)
    found.put(count)


def measure(graph: str, backend: str, clients: int, requests: int, protocol: str) -> dict[str, Any]:
    """Start a server, ask, and stop it."""
    program = compile_graph(graph, "u50")
    own = vlarun.Session(program)
    cases = [(inputs, own.run(inputs)) for inputs in (random_inputs(program, seed) for seed in range(KINDS))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prog.bin"
        image.save(program, path)
        command = [sys.executable, "-m", "vlarun", "serve", str(path), "--port", "0", "--tcp", "0"]
        command += ["--backend", backend, "--max-message", str(LIMIT >> 20)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            ports = [int(server.stdout.readline().split("127.0.0.1:")[1].split(".")[0].split()[0]) for _ in range(2)]
            port = ports[0] if protocol == "openpi" else ports[1]
            warm: Any = multiprocessing.Queue()
            memories = {"start": memory(server.pid)}
            ask(protocol, port, 0, 100, cases, warm)
            memories["100 requests"] = memory(server.pid)
            results, bad, seconds, samples = under_load(server.pid, protocol, port, ports, clients, requests, cases)
            memories |= {f"{q} %": samples[(len(samples) - 1) * q // 100] for q in (25, 50, 75)}
            memories["end"] = memory(server.pid)
            server.terminate()
            said = server.stdout.read().strip().splitlines()[-1]
            assert server.wait() == 0
    latencies = np.array([s for each, _ in results for s in each]) * 1000
    return {
        "graph": graph,
        "backend": backend,
        "protocol": protocol,
        "clients": clients,
        "replies": len(latencies),
        "wrong": sum(wrong for _, wrong in results),
        "bad_messages": dict(zip(("websocket", "tcp"), bad, strict=True)),
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
        "replies_per_second": len(latencies) / seconds,
        "memory_mb": memories,
        "server_says": said,
    }


def under_load(
    pid: int, protocol: str, port: int, ports: list[int], clients: int, requests: int, cases: list[tuple[Any, Any]]
) -> tuple[list[Any], list[int], float, list[int]]:
    """What every client found, bad messages of each protocol, seconds, and the server's memory meanwhile."""
    found: Any = multiprocessing.Queue()
    counts: list[Any] = [multiprocessing.Queue(), multiprocessing.Queue()]
    stop, ended = multiprocessing.Event(), threading.Event()
    noise = [
        multiprocessing.Process(target=each, args=(to, stop, count))
        for each, to, count in zip((disturb, disturb_tcp), ports, counts, strict=True)
    ]
    asking = [
        multiprocessing.Process(target=ask, args=(protocol, port, n, requests, cases, found)) for n in range(clients)
    ]
    samples = [memory(pid)]
    start, watch = time.perf_counter(), threading.Thread(target=sampled, args=(pid, samples, ended))
    for process in (*noise, *asking):
        process.start()
    watch.start()
    results = [found.get() for _ in asking]
    seconds = time.perf_counter() - start
    ended.set()
    stop.set()
    bad = [count.get() for count in counts]
    for process in (*noise, *asking):
        process.join()
    watch.join()
    return results, bad, seconds, samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", default="demo_policy")
    parser.add_argument("--backend", default="sim")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--protocol", default="openpi", choices=("openpi", "tcp"), help="of the clients")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    row = measure(args.graph, args.backend, args.clients, args.requests, args.protocol)
    for name, value in row.items():
        print(f"{name:20} {value:.2f}" if isinstance(value, float) else f"{name:20} {value}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "serve": row}, indent=2) + "\n")
    if row["replies"] != args.clients * args.requests or row["wrong"]:
        raise SystemExit("replies were lost or wrong")


if __name__ == "__main__":
    main()

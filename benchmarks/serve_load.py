"""The policy server under load: openpi's own client many times over, beside a stream of malformed and oversized
messages. Prints latencies, lost or wrong replies, and the server's memory before and after.

    python benchmarks/serve_load.py [--graph demo_policy] [--clients 8] [--requests 1000] [--backend sim] [--json FILE]

Every reply is compared with what a session of its own gives. Clients run in processes of their own, so that they do not
slow the server down more than they would from another computer with this one's cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import subprocess
import sys
import tempfile
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

KINDS = 5  # of requests
LIMIT = 1 << 20  # bytes of a message


def memory(pid: int) -> int:
    """MB of the process that are in memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found
    return int(found[1]) // 1024


def ask(port: int, number: int, requests: int, cases: list[tuple[Any, Any]], found: Any) -> None:
    """One client: its latencies in seconds, and how many replies were not right."""
    client, seconds, wrong = WebsocketClientPolicy("127.0.0.1", port), [], 0
    for step in range(requests):
        inputs, wanted = cases[(number + step) % KINDS]
        start = time.perf_counter()
        reply = client.infer(inputs)
        seconds.append(time.perf_counter() - start)
        wrong += any(not np.array_equal(reply[name], value) for name, value in wanted.items())
    found.put((seconds, wrong))


def disturb(port: int, stop: Any, found: Any) -> None:
    """Bad messages until `stop`; how many there were."""
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


def measure(graph: str, backend: str, clients: int, requests: int) -> dict[str, Any]:
    """Start a server, ask, and stop it."""
    program = compile_graph(graph, "u50")
    own = vlarun.Session(program)
    cases = [(inputs, own.run(inputs)) for inputs in (random_inputs(program, seed) for seed in range(KINDS))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prog.bin"
        image.save(program, path)
        command = [sys.executable, "-m", "vlarun", "serve", str(path), "--port", "0", "--backend", backend]
        command += ["--max-message", str(LIMIT >> 20)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline().split("127.0.0.1:")[1].split()[0])
            warm: Any = multiprocessing.Queue()
            ask(port, 0, 100, cases, warm)
            before, start = memory(server.pid), time.perf_counter()
            found, count, stop = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Event()  # type: ignore[var-annotated]
            noise = multiprocessing.Process(target=disturb, args=(port, stop, count))
            noise.start()
            asking = [
                multiprocessing.Process(target=ask, args=(port, n, requests, cases, found)) for n in range(clients)
            ]
            for process in asking:
                process.start()
            results = [found.get() for _ in asking]
            seconds, after = time.perf_counter() - start, memory(server.pid)
            stop.set()
            bad = count.get()
            for process in (noise, *asking):
                process.join()
            server.terminate()
            said = server.stdout.read().strip().splitlines()[-1]
    latencies = np.array([s for each, _ in results for s in each]) * 1000
    return {
        "graph": graph,
        "backend": backend,
        "clients": clients,
        "replies": len(latencies),
        "wrong": sum(wrong for _, wrong in results),
        "bad_messages": bad,
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
        "replies_per_second": len(latencies) / seconds,
        "memory_before_mb": before,
        "memory_after_mb": after,
        "server_says": said,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", default="demo_policy")
    parser.add_argument("--backend", default="sim")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    row = measure(args.graph, args.backend, args.clients, args.requests)
    for name, value in row.items():
        print(f"{name:20} {value:.2f}" if isinstance(value, float) else f"{name:20} {value}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "serve": row}, indent=2) + "\n")
    if row["replies"] != args.clients * args.requests or row["wrong"]:
        raise SystemExit("replies were lost or wrong")


if __name__ == "__main__":
    main()

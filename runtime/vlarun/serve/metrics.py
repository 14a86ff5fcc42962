"""What the server counts, for `/metrics` in Prometheus' text format and for the line at its end.

Not here: when it is counted (`server.py`, `batcher.py`).
"""

from __future__ import annotations

from array import array
from collections import Counter as Tally

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["OUTCOMES", "Metrics"]

OUTCOMES = ("answered", "refused", "busy", "timeout", "failed", "undelivered")
_KEPT = 100_000  # latencies that the percentiles are of: the newest
_SECONDS = (*(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1), *(0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0))


class Metrics:
    """Counters of one server; each has its own registry, so that a process may hold several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "vlarun_requests", "requests by what became of them", ["outcome"], registry=self._registry
        )
        self._latency = Histogram(
            "vlarun_request_seconds", "from request to reply", buckets=_SECONDS, registry=self._registry
        )
        self._batch = Histogram(
            "vlarun_batch_runs", "requests of a run", buckets=(1, 2, 4, 8, 16, 32), registry=self._registry
        )
        self.clients = Gauge("vlarun_clients", "open connections", registry=self._registry)
        self.waiting = Gauge("vlarun_waiting", "requests that wait for a run", registry=self._registry)
        self._cycles = Gauge("vlarun_device_cycles", "cycles of one run on the device", registry=self._registry)
        self.counts: Tally[str] = Tally()
        self._latencies = array("d")  # 8 bytes each, where floats in a list take 32
        for outcome in OUTCOMES:
            self._requests.labels(outcome)

    def count(self, outcome: str, seconds: float = 0.0) -> None:
        """One request; `seconds` from its arrival until its reply was sent."""
        self.counts[outcome] += 1
        self._requests.labels(outcome).inc()
        if outcome == "answered":
            self._latency.observe(seconds)
            if len(self._latencies) < _KEPT:
                self._latencies.append(seconds)
            else:
                self._latencies[(self.counts[outcome] - 1) % _KEPT] = seconds

    def ran(self, requests: int, cycles: int | None) -> None:
        """One run of the program for so many requests."""
        self._batch.observe(requests)
        if cycles is not None:
            self._cycles.set(cycles)

    def text(self) -> bytes:
        """The page `/metrics`."""
        found: bytes = generate_latest(self._registry)
        return found

    def summary(self) -> str:
        """Counts and percentiles in one line."""
        counts = ", ".join(f"{self.counts[outcome]} {outcome}" for outcome in OUTCOMES)
        if not self._latencies:
            return counts
        p50, p99 = np.percentile(np.array(self._latencies), (50, 99)) * 1000
        return f"{counts}; p50 {p50:.1f} ms, p99 {p99:.1f} ms"

"""What the server says of latencies is of the newest ones, whose number is bounded."""

import pytest

pytest.importorskip("prometheus_client", reason="pip install .[serve]")

from vlarun.serve import metrics


def test_percentiles_are_of_the_newest_latencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_KEPT", 4)
    counted = metrics.Metrics()
    for seconds in (9.0, 9.0, 9.0, 0.001, 0.002, 0.003, 0.004):
        counted.count("answered", seconds)
        counted.count("refused", 5.0)  # not answered: no latency
    assert "p50 2.5 ms, p99 4.0 ms" in counted.summary()

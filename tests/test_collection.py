"""Collecting the tests is cheap, and seconds are measured in benchmarks/ only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
HEAVY = ("torch", "onnx.backend.test.loader")  # seconds of processor time each; tests import them when they run


def test_collection_imports_nothing_heavy() -> None:
    code = (
        "import sys, pytest\n"
        f"code = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', {str(TESTS)!r}])\n"
        f"print(int(code), [m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "0 []", done.stdout[-3000:]


def test_no_test_asserts_seconds() -> None:
    clock = re.compile(r"\b(process_time|perf_counter|monotonic)\(|\btime\.time\(")
    found = [p.name for p in TESTS.rglob("test_*.py") if p != Path(__file__) and clock.search(p.read_text("utf-8"))]
    assert found == []

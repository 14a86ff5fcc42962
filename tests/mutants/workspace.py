"""A copy of the tree in which one line at a time is broken and tested.

`copy_tree` makes the copy, `run_tests` runs tests in it, `broken` changes one place and puts it back.
The copy shares nothing with the checkout but the Python environment: models, benches and Python caches are
its own, so nothing built from a broken line is left anywhere.
Not here: which lines and which tests (run.py, mutate.py, suites.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Verdict", "broken", "copy_tree", "run_tests"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("isa", "compiler", "runtime", "models", "datasets", "training")
LEFT_OUT = (".git", ".venv", "runs", "build", "dist", "sim_build", "__pycache__", ".*_cache", ".hypothesis")
TIMEOUT = 900  # seconds for one run of pytest; a mutant may well hang
HANG = "still running after the time limit"


@dataclass(frozen=True)
class Verdict:
    """What pytest said: `passed`, `failed` or `broken` (it did not test), and why in one line."""

    outcome: str
    reason: str


def copy_tree(folder: Path) -> Path:
    """Copy the checkout, without what is built, into `folder`."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return tree


@contextlib.contextmanager
def broken(path: Path, text: str) -> Iterator[None]:
    """`path` holds `text` inside the block and what it held before afterwards."""
    original = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def run_tests(tree: Path, tests: list[str], timeout: int = TIMEOUT) -> Verdict:
    """Run pytest on `tests` in the tree until the first failure; a hang counts as a failure."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / p) for p in PACKAGES),
        "PYTHONDONTWRITEBYTECODE": "1",  # a .pyc of a broken line could outlive it: its time stamp has seconds
        "XDG_CACHE_HOME": str(tree / ".cache"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", *tests]
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Verdict("failed", HANG)
    return _verdict(process.returncode, output)


def _verdict(code: int, output: str) -> Verdict:
    """pytest's exit code: 0 passed, 1 failed, 2 interrupted (a test file did not even import), 4 (nor a conftest)."""
    if code == 0:
        return Verdict("passed", "no test failed")
    lines = output.splitlines()
    named = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    reason = named[0].split(" - ")[0] if named else (lines[-1] if lines else "")
    if code in (1, 2) and named:
        return Verdict("failed", reason)
    if code == 4 and any("ImportError while loading conftest" in line for line in lines):
        return Verdict("failed", "the code does not import")
    if code < 0:
        return Verdict("failed", f"the process died of signal {-code}")
    return Verdict("broken", f"pytest ended with {code}: {' '.join(lines[-3:])}")

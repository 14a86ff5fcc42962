"""What is compiled here once and kept by content: machines of Verilator, kernels of `sim`.

A file appears whole or not at all, and one process builds it while others that want it wait.
Not here: what is built, and of what (`backends/rtl_build.py`, `native/binding.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from vlarun.progress import note

__all__ = ["cache_folder", "cpu", "locked"]


def cache_folder(kind: str) -> Path:
    """Where built files of a kind are kept: `$XDG_CACHE_HOME/vlarun/KIND`, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vlarun" / kind


def cpu() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(dict.fromkeys(x for x in lines if x.startswith(("flags", "Features", "model name"))))


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file that is to be built; where another process holds it, say so and wait."""
    with path.with_suffix(".lock").open("a") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"waiting for another process, which builds {what} ...")
            fcntl.flock(f, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(f, fcntl.LOCK_UN)

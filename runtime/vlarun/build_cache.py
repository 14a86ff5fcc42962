"""What is compiled here once and kept by content: machines of Verilator, kernels of `sim`.

A file appears whole or not at all, with its digest at its end, and one process builds it while others that want it
wait: to load a library that a disk has cut short kills the process. A file's time is that of its last use; the newest
ones are kept, and those used lately.
Not here: what is built, and of what (`backends/rtl_build.py`, `native/binding.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vla_isa.files import whole_file
from vlarun.progress import note

__all__ = ["cache_folder", "cpu", "intact", "keep", "locked", "prune", "used"]

NEWEST, DAYS = 12, 30  # files that are kept in any case, and how long the others stay unused
_DAY = 24 * 3600


def cache_folder(kind: str) -> Path:
    """Where built files of a kind are kept: `$XDG_CACHE_HOME/vlarun/KIND`, by default under ~/.cache.

    Raises:
        OSError: neither that variable nor a home folder.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    except RuntimeError as e:
        raise FileNotFoundError(errno.ENOENT, "there is no home folder") from e
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


def keep(built: Path, path: Path) -> None:
    """Put a built library in its place, whole or not at all.

    Raises:
        OSError, OutputError: the folder cannot be written.
    """
    content = built.read_bytes()
    with whole_file(path) as temporary:
        temporary.write_bytes(content + hashlib.sha256(content).digest())  # behind what a loader reads


def intact(path: Path) -> bool:
    """Whether a library is there as `keep` wrote it."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    size = hashlib.sha256().digest_size
    return hashlib.sha256(content[:-size]).digest() == content[-size:]


def used(path: Path) -> None:
    """Remember that a built file was used now."""
    with contextlib.suppress(OSError):  # someone else's cache can be read only
        os.utime(path)


def prune(folder: Path) -> None:
    """Remove built files that were not used for long, their locks, and what a build left that was cut off."""
    built = sorted(folder.glob("*.so"), key=_age)
    for path in built[NEWEST:]:
        if _age(path) > DAYS * _DAY:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.lock"):
        if not path.with_suffix(".so").exists() and _age(path) > _DAY:
            path.unlink(missing_ok=True)
    for path in folder.glob(".*"):
        if _age(path) > _DAY:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since a file's time; 0 where it is gone by now."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0

"""Output files that are whole or not there: written beside their place, flushed to the disk, then renamed.

The one way in which all packages write. Not here: what is in a file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from vla_isa.errors import OutputError

__all__ = ["alone", "check_folder", "check_writable", "make_folder", "whole_file", "write_whole"]


def check_writable(path: Path) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        OutputError: its folder is missing or cannot be written, its name is too long, or it is a folder or a device.
    """
    folder = path.parent
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as e:  # a name that is too long, or a file where a folder should be
        raise _refused(path, e) from e
    if path.is_dir():
        raise OutputError(f"output '{path}' is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise OutputError(f"output '{path}' is a device or a pipe; give the name of a file")
    if not folder.is_dir():
        raise OutputError(f"output '{path}': folder '{folder}' does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"output '{path}': folder '{folder}' is not writable; choose another place")


def check_folder(path: Path, *, parents: bool = False) -> None:
    """Refuse an output folder before any work is done for it; one that is missing is made when it is written.

    Args:
        parents: the folders above it may be missing too.

    Raises:
        OutputError: it is a file, or neither it nor the folder above it can be written.
    """
    above = path.absolute().parents
    try:
        found = next((p for p in (path, *(above if parents else above[:1])) if p.exists()), above[0])
    except OSError as e:
        raise _refused(path, e) from e
    if path.exists() and not path.is_dir():
        raise OutputError(f"output folder '{path}' is a file; give a folder")
    if not found.is_dir():
        problem = "is a file" if found.exists() else "does not exist; create it first"
        raise OutputError(f"output folder '{path}': '{found}' {problem}")
    if not os.access(found, os.W_OK):
        raise OutputError(f"output folder '{path}': folder '{found}' is not writable; choose another place")


def make_folder(path: Path) -> None:
    """Make an output folder, with those above it, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    check_folder(path, parents=True)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"output folder '{path}' cannot be made: {e.strerror}; choose another place") from e


@contextlib.contextmanager
def alone(folder: Path, does: str) -> Iterator[None]:
    """Hold an output folder that one process at a time may write; it is free when that ends, in whichever way.

    Args:
        does: what the other process does there, for the message.

    Raises:
        OutputError: another process holds it.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise OutputError(f"output folder '{folder}': another process {does} there; give another folder") from e
        except OSError:  # a file system without locks
            pass
        yield


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it takes the place of `path` if the block ends without an error.

    The temporary name is nobody else's, so threads and processes may write one path at once: the last one stays. Its
    permissions are those the user's umask gives a new file.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    check_writable(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as e:
        raise _refused(path, e) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of these bytes; see `whole_file`.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _flush(path: Path) -> None:
    """Wait until the disk has the file's bytes: a rename that outlives them would leave an empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: Path, error: OSError) -> OutputError:
    return OutputError(f"output '{path}' cannot be written: {error.strerror or error}; choose another place")

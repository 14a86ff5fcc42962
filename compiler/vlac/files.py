"""Output files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from vlac.errors import OutputError

__all__ = ["check_folder", "check_writable", "make_folder", "write_whole"]


def check_writable(path: Path) -> None:
    """Refuse an output path before any work is done for it.

    Raises:
        OutputError: its folder does not exist or cannot be written, or it is a folder or a device.
    """
    folder = path.parent
    if path.is_dir():
        raise OutputError(f"output '{path}' is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise OutputError(f"output '{path}' is a device or a pipe; give the name of a file")
    if not folder.is_dir():
        raise OutputError(f"output '{path}': folder '{folder}' does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"output '{path}': folder '{folder}' is not writable; choose another place")


def check_folder(path: Path) -> None:
    """Refuse an output folder before any work is done for it; one that is missing is made when it is written.

    Raises:
        OutputError: it is a file, or neither it nor the folder above it can be written.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"output folder '{path}' is a file; give a folder")
    check_writable(path / "x" if path.is_dir() else path)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file through a temporary one in the same folder.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    check_writable(path)
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as e:
        raise OutputError(f"output '{path}' cannot be written: {e.strerror or e}; choose another place") from e
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def make_folder(path: Path) -> None:
    """Make an output folder unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as e:
        raise OutputError(f"output folder '{path}' cannot be made: {e.strerror}; choose another place") from e

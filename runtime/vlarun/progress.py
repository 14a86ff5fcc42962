"""Progress for a person at a terminal: a bar after two seconds, and single notes; nothing on standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

__all__ = ["note", "track"]

T = TypeVar("T")
PATIENCE = 2.0  # seconds before a bar appears


def note(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"vlarun: {message}\n")
    sys.stderr.flush()


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, `total` of them; draw a bar once it took two seconds, if standard error is a terminal."""
    total = len(items) if isinstance(items, Sized) else total
    if not sys.stderr.isatty() or total is None:
        yield from items
        return
    start, bar, task = time.monotonic(), None, None
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - start > PATIENCE:
                bar = Progress(console=Console(stderr=True), transient=True)
                bar.start()
                task = bar.add_task(what, total=total, completed=done)
            yield item
            if bar is not None and task is not None:
                bar.update(task, completed=done + 1)
    finally:
        if bar is not None:
            bar.stop()

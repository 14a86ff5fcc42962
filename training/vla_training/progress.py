"""One progress bar for everything that takes more than two seconds; silent when nobody watches a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["Bar", "progress_bar"]


class Bar:
    """A running bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, amount: int = 1) -> None:
        """Go on by `amount`."""
        self._progress.advance(self._task, amount)

    def move_to(self, position: int, note: str = "") -> None:
        """Set the position, with a short note behind the bar."""
        self._progress.update(self._task, completed=position, note=note)


@contextlib.contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[Bar]:
    """Show a bar while the block runs; nothing is printed when `console` is not a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))

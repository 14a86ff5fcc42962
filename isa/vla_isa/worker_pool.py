"""A pool of processes that ends at Ctrl-C without a word: a terminal sends the interrupt to all of them.

Processes are spawned with the interrupt held back; once they run they leave at once and silently when it comes. The
process that started them sees it as any other, and stops those that it alone was sent to. They also leave when that
process is gone, be it killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = ["WorkerPool", "interrupt_held"]

P = ParamSpec("P")
T = TypeVar("T")
_INTERRUPT = {signal.SIGINT}


class WorkerPool(ProcessPoolExecutor):
    """As ProcessPoolExecutor, with spawned processes. Leaving it by an exception gives up what has not begun.

    Args:
        workers: how many processes.
        initializer: called with `arguments` in each process first; an exception in it breaks the pool.
    """

    def __init__(self, workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()):
        context = multiprocessing.get_context("spawn")
        super().__init__(workers, context, _start, (initializer, arguments))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See ProcessPoolExecutor; it is here that processes are started."""
        with interrupt_held():
            return super().submit(fn, *args, **kwargs)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            if issubclass(kind, KeyboardInterrupt):
                for process in (self._processes or {}).values():
                    process.terminate()
            self.shutdown(wait=False, cancel_futures=True)
        self.shutdown(wait=True)


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Hold the interrupt back, for this thread and for processes that it starts; it comes when the block ends.

    A signal that this thread blocks is taken by another thread of the process, those of libraries among them, and
    Python would still raise in the main one: there its handler waits too.
    """
    handler = signal.getsignal(signal.SIGINT)
    waits = callable(handler) and threading.current_thread() is threading.main_thread()
    came: list[int] = []
    if waits:
        signal.signal(signal.SIGINT, lambda signum, frame: came.append(signum))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if waits:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
    if initializer is not None:
        initializer(*arguments)


def _end_with_parent() -> None:
    """Leave when the process that started this one is gone, in whichever way: nobody else would end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this one was spawned
    parent.join()
    os._exit(1)


def _leave(signum: int, frame: object) -> None:
    os._exit(128 + signum)

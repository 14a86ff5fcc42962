"""Check cases in a process of their own, so that a machine that crashes or hangs fails the case it does it in.

The process is started when it is first needed and again after it died. Not here: what a check is.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from vla_isa.errors import VlaError
from vla_isa.worker_pool import interrupt_held

__all__ = ["Isolated"]

PATIENCE = 600.0  # seconds for one case
Check = Callable[..., str]


class Isolated:
    """Calls `check` elsewhere; what it is given must be picklable. A context manager: it ends the process.

    Args:
        check: a function of a module, that returns what is wrong.
        patience: seconds after which a call is given up.
    """

    def __init__(self, check: Check, patience: float = PATIENCE) -> None:
        self._check, self._patience = check, patience
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def __call__(self, *given: Any) -> str:
        """What `check` returns, or how its process ended."""
        process, pipe = self._started()
        try:
            pipe.send(given)
            if not pipe.poll(self._patience):
                self._end()
                return f"the machine did not return within {self._patience:g} s"
            return str(pipe.recv())
        except (EOFError, OSError):  # the other end is gone
            process.join()
            code = process.exitcode or 0
            self._end()
            return f"the machine crashed: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"

    def _started(self) -> tuple[BaseProcess, Connection]:
        if self._process is None or self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self._check), daemon=True)
            with interrupt_held():  # it would end in a traceback of its own
                self._process.start()
            other.close()
        return self._process, self._pipe

    def _end(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(pipe: Connection, check: Check) -> None:
    """Answer calls until the other side closes the pipe; an interrupt is the other side's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        try:
            answer = check(*given)
        except VlaError as e:
            answer = str(e)
        pipe.send(answer)

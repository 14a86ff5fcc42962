"""Requests of all clients become runs of the program: in order, several at once, in one thread beside the server's.

A program with carried state has a state for every client, so that no client sees another's state; the runs of any
other program are shared. Not here: connections and messages (`server.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import VlaError
from vla_isa.input_arrays import read_runs
from vla_isa.signature import Value
from vlarun.errors import BackendError, InputError
from vlarun.partitions import PackageSession
from vlarun.serve.metrics import Metrics
from vlarun.session import Session

__all__ = ["AnySession", "Batcher", "BusyError", "Computed", "entry_points", "has_state", "made_outputs"]

AnySession = Session | PackageSession
Arrays = dict[str, NDArray[Any]]


class BusyError(VlaError):
    """More requests wait than the server holds."""


def has_state(session: AnySession) -> bool:
    """Whether a run leaves something for the next one, of whichever entry point."""
    return isinstance(session, Session) and session.has_state


def entry_points(session: AnySession) -> list[str]:
    """What a request may name: none of a program with host partitions, or where the whole ONNX model runs."""
    return list(session.program.entries) if isinstance(session, Session) and session.backend.name != "ref" else []


def made_outputs(session: AnySession, entry: str | None = None) -> list[Value]:
    """The outputs of one run, as the model names them."""
    return session.at(entry).model_outputs if isinstance(session, Session) else session.package.outputs


@dataclass(frozen=True)
class Computed:
    """What a run made, in the model's shapes, and its cycles on the device, where there is one."""

    outputs: Arrays
    cycles: int | None


@dataclass
class _Request:
    session: AnySession
    arrays: Arrays
    forget: bool
    entry: str | None
    done: asyncio.Future[Computed]


class Batcher:
    """Runs requests; made and used in the server's event loop.

    Args:
        open_session: makes a session of the program; called once.
        entry: entry point of requests that name none; None: the first one.
        most_at_once: requests of a run.
        most_waiting: requests that wait, of all clients.
    """

    def __init__(
        self,
        open_session: Callable[[], AnySession],
        metrics: Metrics,
        *,
        entry: str | None = None,
        most_at_once: int = 8,
        most_waiting: int = 64,
    ) -> None:
        self._metrics, self._entry = metrics, entry
        self._most_at_once, self._most_waiting = most_at_once, most_waiting
        self._shared = open_session()
        self._shared.prepare()  # no client waits until a machine is built
        if entry is not None and isinstance(self._shared, Session):
            self._shared.prepare(entry)
        self._waiting: deque[_Request] = deque()
        self._coming = 0  # requests that are made ready
        self._running: list[_Request] = []
        self._wake = asyncio.Event()
        self._stopped = False

    def session(self) -> AnySession:
        """The session of a new client."""
        shared = self._shared
        return shared.another() if isinstance(shared, Session) and has_state(shared) else shared

    def entry(self, name: object) -> str | None:
        """The entry point of a request that names it, or None.

        Raises:
            InputError: it is none of the program's. Tasks are not united for a request, but those that the server was
                given: every set of them would be loaded, and kept.
        """
        if name is None or (isinstance(name, str) and name == self._entry):
            return self._entry
        known = entry_points(self._shared)
        if not known:
            raise InputError("host partitions, and a whole ONNX model, have no entry points; leave out 'entry'")
        if not isinstance(name, str) or name not in known:
            raise InputError(f"the program has no entry point {name!r:.60}; it has {', '.join(known)}")
        return name

    @property
    def input_names(self) -> set[str]:
        """What the program takes, at any entry point."""
        entries = entry_points(self._shared) or (None,)
        return {value.name for entry in entries for value in self._shared.wanted_inputs(entry=entry)[0]}

    def check(self, session: AnySession, inputs: Mapping[str, Any], entry: str | None = None) -> Arrays:
        """The arrays of one run; what may be left out, and was, is not among them: the session knows what it is then.

        Raises:
            InputError: they do not fit the program, or are those of several runs.
        """
        wanted, optional = session.wanted_inputs(entry=entry)
        runs = read_runs(wanted, inputs, optional)
        if runs.count != 1:
            raise InputError(f"the observation holds {runs.count} runs; a request is one")
        return {name: array for name, array in next(runs.items()).items() if name in inputs}

    @contextlib.contextmanager
    def room(self) -> Iterator[None]:
        """Keeps a place for a request while it is made ready, so that `run` right behind it has one: an episode must
        not remember what nobody computes.

        Raises:
            BusyError: too many requests wait, or are made ready.
        """
        taken = len(self._waiting) + self._coming
        if taken >= self._most_waiting:
            raise BusyError(f"{taken} requests wait already, the most this server holds; ask again later")
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    async def run(self, session: AnySession, arrays: Arrays, forget: bool, entry: str | None = None) -> Computed:
        """What a run makes, of a request that has room; `forget`: begin with carried inputs of zero.

        Raises:
            VlaError: the machine stopped with an error, or the server did before the run ended.
        """
        if self._stopped:
            raise _stopped()
        request = _Request(session, arrays, forget, entry, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._metrics.waiting.set(len(self._waiting))
        self._wake.set()
        return await request.done

    async def work(self) -> None:
        """Run what waits, for ever; to be cancelled."""
        while True:
            await self._wake.wait()
            self._running = self._take()
            if self._running:
                for request, found in zip(self._running, await self._beside(self._running), strict=True):
                    _finish(request, found)

    async def _beside(self, batch: list[_Request]) -> list[Computed | Exception]:
        """`_run` in a thread of which the end of the process does not wait, as it would for an executor's."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Computed | Exception]] = loop.create_future()

        def tell(found: list[Computed | Exception]) -> None:
            if not done.done():
                done.set_result(found)

        def run() -> None:
            found = self._run(batch)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tell, found)

        threading.Thread(target=run, name="vlarun-serve", daemon=True).start()
        return await done

    def stop(self) -> None:
        """Fail what waits and what runs: the server does not wait for it any more."""
        self._stopped = True
        for request in (*self._waiting, *self._running):
            _finish(request, _stopped())

    def _take(self) -> list[_Request]:
        """The oldest request, and those behind it that can share its run; none of a client that no longer waits."""
        batch: list[_Request] = []
        kept: deque[_Request] = deque()
        for request in self._waiting:
            if request.done.done():
                continue
            if not batch or (len(batch) < self._most_at_once and _together(batch[0], request)):
                batch.append(request)
            else:
                kept.append(request)
        self._waiting = kept
        self._metrics.waiting.set(len(kept))
        if not kept:
            self._wake.clear()
        return batch

    def _run(self, batch: list[_Request]) -> list[Computed | Exception]:
        """Outputs of each request, or why there are none; in the thread. One bad request fails alone."""
        try:
            found: list[Computed | Exception] = list(self._computed(batch))
        except Exception as error:  # of any request: it is told to the client, or logged by the server
            if len(batch) == 1:
                return [error]
            return [each for request in batch for each in self._run([request])]
        return found

    def _computed(self, batch: list[_Request]) -> list[Computed]:
        first = batch[0]
        if first.forget and isinstance(first.session, Session):
            first.session.forget()
        if len(batch) == 1:
            results = [first.session.run(first.arrays, entry=first.entry)]
        else:
            joined = {name: np.stack([r.arrays[name] for r in batch]) for name in first.arrays}
            outputs = first.session.run(joined, entry=first.entry)
            shapes = {value.name: value.shape for value in made_outputs(first.session, first.entry)}
            results = [{n: a[i].reshape(shapes[n]) for n, a in outputs.items()} for i in range(len(batch))]
        cycles = None if first.session.backend.name == "ref" else first.session.cycles
        self._metrics.ran(len(batch), cycles)
        return [Computed(result, cycles) for result in results]


def _stopped() -> BackendError:
    return BackendError("the server stops, and the run had not ended; ask again when it is back")


def _together(first: _Request, other: _Request) -> bool:
    return (
        other.session is first.session
        and other.entry == first.entry
        and not has_state(first.session)
        and first.arrays.keys() == other.arrays.keys()
    )


def _finish(request: _Request, found: Computed | Exception) -> None:
    if request.done.done():  # its client waited too long, or left
        return
    if isinstance(found, Exception):
        request.done.set_exception(found)
    else:
        request.done.set_result(found)

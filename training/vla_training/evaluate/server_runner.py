"""A policy behind a server acts: openpi's protocol, a connection for each episode in progress.

All observations of a step are sent before the first reply is read, so that the server can compute them in one run.
Not here: the server (`vlarun.serve`), the preprocessor, which is on the server's side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import TASK, Sample
from vla_isa.errors import InputError
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import ServerSpec
from vla_training.evaluate.runner import Runner

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["ServerRunner"]

_MOST_HISTORY = 1024  # steps of an observation
_SECONDS = 120.0  # without a reply; a Verilog machine takes a while
_ACTIONS, _TIMING = "actions", "server_timing"  # of a reply, as openpi names them


class ServerRunner(Runner):
    """Asks a server.

    Raises:
        EvaluationError: nobody answers there, or not with the protocol.
    """

    def __init__(self, spec: ServerSpec) -> None:
        super().__init__()
        self._spec, self._url = spec, spec.url
        self._open = contextlib.ExitStack()
        self._connections: dict[int, ClientConnection] = {}
        self._begins: dict[int, dict[str, Any]] = {}  # what goes with the first observation of an episode
        self._counted: dict[int, int | None] = {}  # by slot, what the server said with its last reply
        self._longest: int | None = None
        with contextlib.ExitStack() as once:
            self._connect(once)

    def begin(self, slot: int, task: str, seed: int) -> None:
        """The next observation of the slot tells the server."""
        if slot not in self._connections:
            self._connections[slot] = self._connect(self._open)
        self._begins[slot] = {"reset": True, "seed": seed, TASK: task}

    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        """The server's actions.

        Raises:
            EvaluationError: it refuses an observation, its reply has no actions, or it is gone.
        """
        from vlarun.serve.messages import pack

        with self._named():
            for slot, seen in observations.items():
                self._connections[slot].send(pack({**seen, **self._begins.pop(slot, {})}))
            return {slot: self._actions(slot, self._connections[slot].recv(timeout=_SECONDS)) for slot in observations}

    def cycles(self) -> int | None:
        """The most that the server said with a reply."""
        return self._longest

    def cycles_of(self, slot: int) -> int | None:
        """What the server said with the last reply to a slot."""
        return self._counted.get(slot)

    def close(self) -> None:
        """End every connection."""
        super().close()
        self._open.close()
        self._connections.clear()

    def _connect(self, stack: contextlib.ExitStack) -> ClientConnection:
        """A new connection, after the server's metadata; the stack ends it."""
        try:
            from websockets.sync.client import connect

            from vlarun.serve.messages import unpack
        except ModuleNotFoundError as error:
            raise EvaluationError(
                f"--server needs the package '{error.name}', which is not installed; pip install 'vla-toolchain[serve]'"
            ) from error
        headers = {"Authorization": f"Api-Key {self._spec.api_key}"} if self._spec.api_key else None
        with self._named():
            connection = stack.enter_context(
                connect(self._url, compression=None, max_size=None, additional_headers=headers)
            )
            metadata = connection.recv(timeout=_SECONDS)
            said = unpack(metadata if isinstance(metadata, bytes) else b"")
        self.computes_on_host = bool(said.get("host_partitions"))
        history = said.get("history", 1)
        if not isinstance(history, int) or not 1 <= history <= _MOST_HISTORY:
            raise EvaluationError(f"The server at {self._spec.address} wants {history!r:.40} steps at once.")
        self.history = history
        return connection

    def _actions(self, slot: int, reply: str | bytes) -> npt.NDArray[Any]:
        from vlarun.serve.messages import unpack

        if isinstance(reply, str):
            raise EvaluationError(f"The server at {self._spec.address} refuses an observation: {reply}")
        found = unpack(reply)
        actions, timing = found.get(_ACTIONS), found.get(_TIMING)
        if not isinstance(actions, np.ndarray) or actions.ndim < 1 or len(actions) < 1:
            raise EvaluationError(
                f"The server at {self._spec.address} replies {', '.join(found)} without '{_ACTIONS}' (steps, ...); "
                "start it with the policy: vlarun serve PROGRAM --policy FOLDER."
            )
        cycles = timing.get("device_cycles") if isinstance(timing, dict) else None
        self._counted[slot] = counted = cycles if type(cycles) is int and cycles >= 0 else None
        self._longest = max((c for c in (self._longest, counted) if c is not None), default=None)
        return actions

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        from websockets.exceptions import InvalidStatus, WebSocketException

        where = f"The server at {self._spec.address}"
        try:
            yield
        except InvalidStatus as error:
            said = (error.response.body or b"").decode(errors="replace").strip()
            raise EvaluationError(f"{where} takes no connection ({error.response.status_code}): {said}") from error
        except TimeoutError as error:
            raise EvaluationError(f"{where} gives no answer for {_SECONDS:g} s.") from error
        except OSError as error:
            raise EvaluationError(f"{where} cannot be reached: {error.strerror or error}.") from error
        except (WebSocketException, EOFError) as error:
            raise EvaluationError(f"{where} ended the connection: {error}") from error
        except InputError as error:
            raise EvaluationError(f"{where} does not speak openpi's protocol: {error}") from error

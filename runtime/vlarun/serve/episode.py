"""One client's side of a policy: its observations become inputs of the program, and outputs become its reply.

Not here: the preprocessor of a policy (`vla_toolchain.serve_command`), the program's runs (`batcher.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from vlarun.calls import Call, Chooser

__all__ = ["Episode", "Plain", "PolicyFactory"]

Arrays = Mapping[str, NDArray[Any]]


class Episode(Protocol):
    """What a connection keeps from one request to the next: frame stacks, the last action, the task.

    Attributes:
        calls: of entry points, that answer one request; none: `entry`'s one.
        entry: says which one runs; None: the request does.
    """

    calls: Sequence[Call]
    entry: Chooser | None

    def begins(self, observation: Mapping[str, Any], reset: bool) -> bool:
        """Begin a new episode where the client asks for it, or the observation shows that there is one; say whether."""

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The program's inputs by name.

        Raises:
            VlaError: the observation lacks something, or has the wrong shape or dtype.
        """

    def reply(self, outputs: Arrays) -> dict[str, Any]:
        """What the client gets, of the outputs of the run."""


PolicyFactory = Callable[[], Episode]


class Plain:
    """A program by itself: the observation holds its inputs by name, and the reply its outputs."""

    calls: Sequence[Call] = ()
    entry: Chooser | None = None

    def begins(self, observation: Mapping[str, Any], reset: bool) -> bool:
        """Only where the client asks for it."""
        return reset

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays as they came."""
        return dict(observation)

    def reply(self, outputs: Arrays) -> dict[str, Any]:
        """The outputs by name."""
        return dict(outputs)

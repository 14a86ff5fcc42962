"""What the server asks of a connection, whichever protocol it speaks (`websocket.py`, `tcp.py`).

Not here: what is done with it (`server.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["GOING_AWAY", "INTERNAL", "TOO_SLOW", "TRY_LATER", "Connection", "Door", "Gone"]

GOING_AWAY, TOO_SLOW, INTERNAL, TRY_LATER = 1001, 1008, 1011, 1013  # RFC 6455, section 7.4.1, and IANA's list


class Gone(Exception):
    """The client left, or broke the protocol: nothing more comes of this connection."""


class Connection(Protocol):
    """One client's."""

    async def receive(self) -> str | bytes:
        """The next request.

        Raises:
            Gone: there is none.
        """

    async def send(self, reply: str | bytes) -> None:
        """A reply, or as text a refusal; returns once it is on its way.

        Raises:
            Gone: nobody takes it.
        """

    async def close(self, code: int, text: str) -> None:
        """End it; the client is told why, if it listens."""


@dataclass(frozen=True)
class Door:
    """How a protocol lets clients in.

    Attributes:
        refusal: why no more can come now; empty: one can.
        client: serves a connection from its metadata to its end.
        clients: how many are served at once.
        message_bytes: the largest request.
        api_key: what clients must give; empty: nothing.
        page: what `/metrics` says.
    """

    refusal: Callable[[], str]
    client: Callable[[Connection], Awaitable[None]]
    clients: int
    message_bytes: int
    api_key: str
    page: Callable[[], bytes]

"""A client of the framed TCP protocol: what a robot without websockets needs.

Not here: the bytes (`frames.py`), what an observation holds (its policy).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from vla_isa.errors import VlaError
from vlarun.errors import BackendError, InputError
from vlarun.serve import frames
from vlarun.serve.messages import pack, unpack

__all__ = ["Client", "ServerError"]

_MOST_BYTES = 256 << 20  # of a reply


class ServerError(VlaError):
    """The server refused a request; it says why, and takes the next one."""


class Client:
    """A connection to `vlarun serve --tcp PORT`, for one thread: the next reply is that of the last request.

    Args:
        host: of the server.
        port: the number given as `--tcp`.
        api_key: what the server's `--api-key-file` holds; empty: nothing.
        timeout: seconds without a byte from the server until it counts as gone.

    Attributes:
        metadata: names, shapes and dtypes of the program's inputs and outputs.

    Raises:
        BackendError: nobody answers, or not with this protocol, or the server refuses the connection.
    """

    def __init__(self, host: str, port: int, *, api_key: str = "", timeout: float = 60.0) -> None:
        self._where = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise BackendError(f"cannot connect to {self._where}: {error}; is 'vlarun serve --tcp' running?") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._write(frames.greeting(api_key.encode()))
            magic, version, size = frames.GREETING_HEAD.unpack(self._read(frames.GREETING_HEAD.size))
            if magic != frames.MAGIC:
                raise BackendError(f"{self._where} does not speak the framed protocol of vlarun; is it the --tcp port?")
            self._read(size)
            if version != frames.VERSION:
                raise BackendError(
                    f"{self._where} speaks version {version} of the protocol, this client {frames.VERSION}"
                )
            self.metadata = self._message()
        except BaseException:
            self._socket.close()
            raise

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to an observation: numbers, texts and numpy arrays by name.

        Raises:
            ServerError: the server refuses it.
            BackendError: the server is gone; the connection is closed.

        Whatever else interrupts it, as Ctrl-C does, closes the connection too: the reply would be taken for the next
        one's.
        """
        request = frames.frame(frames.MESSAGE, pack(observation))
        try:
            with contextlib.suppress(BackendError):  # of a server that closed: why may still be there to read
                self._write(request)
            return self._message()
        except ServerError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _message(self) -> dict[str, Any]:
        size, kind = frames.FRAME_HEAD.unpack(self._read(frames.FRAME_HEAD.size))
        if size > _MOST_BYTES or kind not in (frames.MESSAGE, frames.REFUSAL, frames.END):
            raise BackendError(
                f"{self._where} sent a frame of kind {kind} and {size} bytes, which is none of the protocol"
            )
        content = self._read(size)
        if kind == frames.REFUSAL:
            raise ServerError(content.decode(errors="replace"))
        if kind == frames.END:
            code, text = frames.end_of(content)
            raise BackendError(f"{self._where} closed the connection: {text} ({code})")
        try:
            return unpack(content)
        except InputError as error:
            raise BackendError(f"{self._where} sent a reply that cannot be read: {error}") from error

    def _read(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            try:
                part = self._socket.recv(min(size - len(found), 1 << 20))
            except OSError as error:
                raise BackendError(f"{self._where} is gone: {error}") from error
            if not part:
                raise BackendError(f"{self._where} closed the connection in the middle of a frame")
            found += part
        return bytes(found)

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise BackendError(f"{self._where} is gone: {error}") from error

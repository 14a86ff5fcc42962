"""The framed TCP protocol (`frames.py`), for robots without a websocket: the same messages, with their lengths.

The earlier driving system sent a command number, an image of fixed size and no length over TCP; here a request is what
it is over the websocket. What arrives is untrusted: a length is held against the limit before a byte of it is read.
Not here: what is served (`server.py`), the client (`client.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac

from vlarun.serve import frames
from vlarun.serve.connection import TRY_LATER, Door, Gone

__all__ = ["listen"]

_POLICY, _PROTOCOL, _TOO_BIG = 1008, 1002, 1009  # RFC 6455, section 7.4.1
_GREETING_SECONDS = 10.0  # as long as a websocket's handshake may take
_LINGER_SECONDS = 1.0  # for what a client still sends when it is told the end: closing at once would lose the text
_READ = 1 << 16
_STRANGERS = 2  # for each client that is served, connections before the end of their greeting


class _Refused(Exception):
    """The connection ends; code and text for the client."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class _Framed:
    """A `Connection`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message_bytes: int) -> None:
        self._reader, self._writer, self._most = reader, writer, message_bytes
        self._closed = False
        self._free = asyncio.Event()  # nobody reads
        self._free.set()
        writer.transport.set_write_buffer_limits(high=0)  # `drain` waits until the kernel has everything

    async def greeted(self, api_key: str) -> None:
        """Read the client's greeting, and answer it.

        Raises:
            Gone: it left.
            _Refused: it speaks something else, or has not the key.
        """
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                magic, version, size = frames.GREETING_HEAD.unpack(await self._read(frames.GREETING_HEAD.size))
                await self._write(frames.greeting())
                if magic != frames.MAGIC:
                    raise _Refused(_PROTOCOL, "this is vlarun's framed protocol; a connection begins with 'VLAT'")
                if version != frames.VERSION:
                    raise _Refused(
                        _PROTOCOL, f"protocol version {version} is not known; this server speaks {frames.VERSION}"
                    )
                if size > frames.MOST_KEY_BYTES:
                    raise _Refused(_POLICY, f"a key of {size} bytes; at most {frames.MOST_KEY_BYTES} are read")
                key = await self._read(size)
        except TimeoutError:
            raise _Refused(_POLICY, f"no greeting within {_GREETING_SECONDS:g} s") from None
        if api_key and not hmac.compare_digest(key, api_key.encode()):
            raise _Refused(_POLICY, "the key is not this server's; send it with the greeting")

    async def receive(self) -> bytes:
        """The content of a MESSAGE; a client that sends anything else is told so, and is gone."""
        size, kind = frames.FRAME_HEAD.unpack(await self._read(frames.FRAME_HEAD.size))
        if kind != frames.MESSAGE:
            await self.close(_PROTOCOL, f"a frame of kind {kind}; requests are of kind {frames.MESSAGE}")
            raise Gone
        if size > self._most:
            await self.close(_TOO_BIG, f"a message of {size} bytes; at most {self._most} are read (--max-message)")
            raise Gone
        return await self._read(size)

    async def send(self, reply: str | bytes) -> None:
        if self._closed:  # while the request was under way, by the server that stops
            raise Gone
        if isinstance(reply, str):
            await self._write(frames.frame(frames.REFUSAL, reply.encode()))
        else:
            await self._write(frames.frame(frames.MESSAGE, reply))

    async def close(self, code: int, text: str) -> None:
        """Say why, and wait a moment for the client to hear it."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Gone, OSError, TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._write(frames.pack_end(code, text))
                self._writer.write_eof()
                await self._free.wait()
                while await self._reader.read(_READ):
                    pass
        self._writer.transport.abort()

    async def _read(self, size: int) -> bytes:
        self._free.clear()
        try:
            found = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Gone from error
        finally:
            self._free.set()
        if self._closed:  # meanwhile, by the server that stops
            raise Gone
        return found

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Gone from error


async def listen(host: str, port: int, door: Door) -> asyncio.Server:
    """Let clients in.

    Raises:
        OSError: the port cannot be taken.
    """

    strangers: set[_Framed] = set()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(strangers) >= _STRANGERS * door.clients:
            writer.transport.abort()
            return
        connection = _Framed(reader, writer, door.message_bytes)
        strangers.add(connection)
        try:
            try:
                await connection.greeted(door.api_key)
            finally:
                strangers.discard(connection)
            if why := door.refusal():
                raise _Refused(TRY_LATER, why)
            await door.client(connection)
        except _Refused as refused:
            await connection.close(refused.code, refused.text)
        except (Gone, asyncio.CancelledError):  # left, or the server ended before the greeting
            pass
        finally:
            writer.transport.abort()

    return await asyncio.start_server(client, host, port, limit=_READ)

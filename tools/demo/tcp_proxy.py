"""A port that can be written down: the embedded broker's own is another one each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from socket import AF_INET
from typing import Any

_LetIn = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

_CHUNK = 64 << 10


@asynccontextmanager
async def doorway(port: int, broker: str) -> AsyncIterator[str]:
    """Hand connections to a port of loopback on to the broker while the context is open.

    Clients ask there who the brokers are; what they are told is the broker's own port, and they go to it.

    Parameters
    ----------
    port
        0 takes a free one.
    broker
        ``host:port``.

    Yields
    ------
    str
        ``host:port`` of the doorway; of the broker itself where the port is taken.
    """
    open_: set[asyncio.StreamWriter] = set()

    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        try:
            host, _, to = broker.rpartition(":")
            inside, outside = await asyncio.open_connection(host, int(to))
            open_.add(outside)
            await asyncio.gather(_hand_on(reader, outside), _hand_on(inside, writer))
            open_.discard(outside)
        except OSError:
            writer.close()  # the broker is gone: so is its door
        finally:
            open_.discard(writer)

    server = await _listening(let_in, port)
    if server is None:
        yield broker
        return
    at = next(socket for socket in server.sockets if socket.family is AF_INET)
    try:
        yield f"127.0.0.1:{at.getsockname()[1]}"
    finally:
        server.close()
        for writer in open_:
            writer.close()


async def _listening(let_in: _LetIn, port: int) -> asyncio.Server | None:
    for host in ("localhost", "127.0.0.1"):  # localhost may be ::1 too, and clients try that first; it may not be there
        with suppress(OSError):
            return await asyncio.start_server(let_in, host, port)
    return None


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()

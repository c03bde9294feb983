"""TCP proxy that gives the embedded broker a fixed port; the broker itself picks a random one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from socket import AF_INET
from typing import Any

_ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

_CHUNK = 64 << 10


@asynccontextmanager
async def tcp_proxy(port: int, broker: str) -> AsyncIterator[str]:
    """Forward connections from a loopback port to the broker while the context is open.

    Clients bootstrap through the proxy. The metadata response names the broker's own port, and clients connect to it.

    Parameters
    ----------
    port
        0 selects a free port.
    broker
        ``host:port``.

    Yields
    ------
    str
        ``host:port`` of the proxy, or of the broker itself if the port is in use.
    """
    writers: set[asyncio.StreamWriter] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            host, _, broker_port = broker.rpartition(":")
            broker_reader, broker_writer = await asyncio.open_connection(host, int(broker_port))
            writers.add(broker_writer)
            await asyncio.gather(_copy(reader, broker_writer), _copy(broker_reader, writer))
            writers.discard(broker_writer)
        except OSError:
            writer.close()  # the broker is gone
        finally:
            writers.discard(writer)

    server = await _start_server(forward, port)
    if server is None:
        yield broker
        return
    listener = next(socket for socket in server.sockets if socket.family is AF_INET)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def _start_server(handler: _ConnectionHandler, port: int) -> asyncio.Server | None:
    for host in ("localhost", "127.0.0.1"):  # clients may try ::1 first for localhost; ::1 may not exist
        with suppress(OSError):
            return await asyncio.start_server(handler, host, port)
    return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()

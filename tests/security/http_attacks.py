"""Requests as an attacker sends them: raw bytes on sockets that are left open."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.ingest import NDJSON

CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    head: bytes
    body: bytes


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        """Send; a server that has closed the connection takes nothing."""
        self._writer.writelines(parts)
        await self._writer.drain()

    def half_close(self) -> None:
        """Say that nothing more follows."""
        self._writer.write_eof()

    async def reply(self) -> Reply:
        """Return the next answer."""
        async with asyncio.timeout(30):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await self._reader.readexactly(int(length[1])) if length else b""
        return Reply(status, head, body)

    async def rest(self) -> bytes:
        """Return all that comes until the server closes the connection."""
        async with asyncio.timeout(30):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def peers(port: int, count: int, address: str = "127.0.0.1") -> AsyncIterator[list[Peer]]:
    """Open connections from an address of this machine; close them behind the block."""
    own = (address, 0)
    opened = [Peer(*await asyncio.open_connection("127.0.0.1", port, local_addr=own)) for _ in range(count)]
    try:
        yield opened
    finally:
        for peer in opened:
            peer.close()


def head(key: str, *lines: str, path: str = "/v1/events", content_type: str = NDJSON) -> bytes:
    """Return the header of a POST."""
    own = [f"Authorization: Bearer {key}"] if key else []
    every = [f"POST {path} HTTP/1.1", "Host: gateway", f"Content-Type: {content_type}", *own, *lines]
    return "\r\n".join([*every, "", ""]).encode()


def post(key: str, body: bytes, *lines: str) -> bytes:
    """Return a whole request."""
    return head(key, f"Content-Length: {len(body)}", *lines) + body


UNFINISHED = ("slow", "chunked", "gzip", "pipelined", "empty")


def unfinished(kind: str, key: str, size: int) -> Sequence[bytes]:
    """Return a request whose body lacks its end, of so many bytes once it is unpacked."""
    body = b" " * (size - 1)
    if kind == "slow":
        return [head(key, f"Content-Length: {size}"), body]
    if kind == "chunked":
        return [head(key, CHUNKED), f"{len(body):x}\r\n".encode(), body, b"\r\n"]
    if kind == "gzip":
        return [head(key, CHUNKED, "Content-Encoding: gzip"), *_chunk(gzip.compress(body)[:-8])]
    if kind == "pipelined":
        whole = post(key, b"{}")
        return [whole * 8, head(key, f"Content-Length: {size}"), body]
    assert kind == "empty"
    return [head(key, f"Content-Length: {size}")]


def _chunk(data: bytes) -> list[bytes]:
    return [f"{len(data):x}\r\n".encode(), data, b"\r\n"]

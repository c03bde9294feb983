"""A request's body, unpacked, within bounds that hold while it is being unpacked."""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from schemas.errors import RequestError
from streams.gateway.room import Lease

_MOST_MEMBERS = 64
"""Of a gzip body. Each costs an allocation of 40 kB and may hold nothing."""


class Unpacker(Protocol):
    """Turns what arrives into what was meant."""

    def feed(self, chunk: bytes, most: int) -> bytes:
        """Return at most ``most + 1`` bytes; one more than ``most`` says that there are too many."""

    def end(self) -> None:
        """Raise `RequestError` if something is missing."""


class Plain:
    """Nothing to unpack."""

    def feed(self, chunk: bytes, most: int) -> bytes:
        """Return what arrived."""
        return chunk[: most + 1]

    def end(self) -> None:
        """Whether all of it arrived is the transport's to say."""


class Inflate:
    """gzip, of one or several members, or zlib (which HTTP calls deflate)."""

    def __init__(self) -> None:
        self._members = 0
        self._next()

    def feed(self, chunk: bytes, most: int) -> bytes:
        """Unpack what fits; a bomb is never unpacked further than one byte too far."""
        out = b""
        try:
            while chunk and len(out) <= most:
                if self._inside.eof:
                    self._next()
                out += self._inside.decompress(chunk, most + 1 - len(out))
                chunk = self._inside.unused_data
        except zlib.error as error:
            raise RequestError(f"body: not gzip: {error}", 400, "bad gzip") from error
        return out

    def end(self) -> None:
        """Raise if the last member does not end."""
        if not self._inside.eof:
            raise RequestError("body: the gzip stream ends too early; send it whole", 400, "bad gzip")

    def _next(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise RequestError(f"body: over {_MOST_MEMBERS} gzip members; send one", 400, "bad gzip")
        self._inside = zlib.decompressobj(zlib.MAX_WBITS | 32)


async def read_body(request: web.Request, lease: Lease, most: int, timeout_s: float) -> bytes:
    """Return the body, unpacked; raise `RequestError` where it is too large, too slow or broken."""
    unpacker = _unpacker(request)
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(timeout_s):
            body = await _arrive(request, unpacker, lease, most)
    except TimeoutError as error:
        raise RequestError(f"body: not here after {timeout_s:g} s; send less at once", 408, "slow body") from error
    except (HttpProcessingError, ClientPayloadError) as error:
        raise RequestError("body: the transfer is broken; send it whole", 400, "broken transfer") from error
    unpacker.end()
    return body


async def _arrive(request: web.Request, unpacker: Unpacker, lease: Lease, most: int) -> bytes:
    body = bytearray()
    packed = 0
    async for chunk in request.content.iter_any():
        packed += len(chunk)
        part = unpacker.feed(chunk, most - len(body))
        # What is packed counts too: a gzip stream may go on for ever and hold nothing.
        if len(body) + len(part) > most or packed > most:
            raise _too_large(most)
        lease.grow(len(part))
        body += part
    return bytes(body)


def _unpacker(request: web.Request) -> Unpacker:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return Plain()
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return Inflate()
    raise RequestError(f"Content-Encoding: {encoding[:40]}: send gzip or none", 415, "encoding")


def _too_large(most: int) -> RequestError:
    return RequestError(f"body: over {most:,} bytes unpacked; send fewer events at once", 413, "too large")

"""A request's body, unpacked, within bounds that hold while it is being unpacked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from schemas.errors import RequestError
from streams.ingest.fair_turns import Turn
from streams.ingest.in_flight_budget import Lease
from streams.ingest.upload_rate import Pace

PIECE_BYTES = 256 << 10
"""Unpacked at once: half a millisecond."""

_MOST_MEMBERS = 64
"""Of a gzip body. Each costs an allocation of 40 kB and may hold nothing."""


class Inflate:
    """gzip, of one or several members, or zlib (which HTTP calls deflate)."""

    def __init__(self) -> None:
        self._members = 0
        self._next()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield pieces of at most `PIECE_BYTES`."""
        try:
            while True:
                if self._inside.eof:
                    if not chunk:
                        return
                    self._next()
                piece = self._inside.decompress(chunk, PIECE_BYTES)
                chunk = self._inside.unused_data or self._inside.unconsumed_tail
                if piece:
                    yield piece
                elif not chunk:
                    return
        except zlib.error as error:
            raise RequestError(f"body: not gzip: {error}", 400, "bad gzip") from error

    def end(self) -> None:
        """Raise if the last member does not end."""
        if not self._inside.eof:
            raise RequestError("body: the gzip stream ends too early; send it whole", 400, "bad gzip")

    def _next(self) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise RequestError(f"body: over {_MOST_MEMBERS} gzip members; send one", 400, "bad gzip")
        self._inside = zlib.decompressobj(zlib.MAX_WBITS | 32)


def check_length(request: web.Request, lease: Lease, most: int) -> None:
    """Raise `RequestError` where the declared length of a body is too large, or there is no room for it now."""
    if (declared := request.content_length or 0) > most:
        raise _too_large(most)
    lease.check(declared)


async def read_body(pace: Pace, unpacker: Inflate | None, lease: Lease, turn: Turn, most: int) -> bytes:
    """Return the body, unpacked.

    Parameters
    ----------
    pace
        Reads what arrives.
    unpacker
        As `unpacker_of` gives it.
    lease
        Grows with what is unpacked.
    turn
        Of the sender: one body of a sender is unpacked at a time.
    most
        Most bytes, unpacked.

    Raises
    ------
    RequestError
        Where the body is too large, too slow or broken, or there is no room for it.
    """
    try:
        body = await _arrive(pace, unpacker, lease, turn, most)
    # A chunk that cannot be read, a length that does not fit, an end before the end.
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError, ConnectionError) as error:
        raise RequestError("body: the transfer is broken; send it whole", 400, "broken transfer") from error
    if unpacker is not None:
        unpacker.end()
    return body


async def _arrive(pace: Pace, unpacker: Inflate | None, lease: Lease, turn: Turn, most: int) -> bytes:
    body = bytearray()
    packed = 0
    while chunk := await pace.read():
        packed += len(chunk)
        if packed > most:  # a gzip stream may go on for ever and hold nothing
            raise _too_large(most)
        if unpacker is None:
            lease.grow(len(chunk))
            body += chunk
            continue
        pieces = unpacker.pieces(chunk)
        while True:
            async with turn.lock:
                piece = next(pieces, None)
                if piece is None:
                    break
                if len(body) + len(piece) > most:
                    raise _too_large(most)
                lease.grow(len(piece))
                body += piece
                if len(piece) >= PIECE_BYTES:
                    await asyncio.sleep(0)  # others get their turn
    return bytes(body)


def unpacker_of(request: web.Request) -> Inflate | None:
    """Return what unpacks the body of a request, None where it is not packed; raise `RequestError` (415) otherwise."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return Inflate()
    raise RequestError("Content-Encoding: not known here; send gzip or none", 415, "encoding")


def _too_large(most: int) -> RequestError:
    return RequestError(f"body: over {most:,} bytes unpacked; send fewer events at once", 413, "too large")

"""Reading and decompression of request bodies, with limits that apply during decompression."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from schemas.errors import RequestError
from streams.ingest.fair_turns import Turn
from streams.ingest.in_flight_budget import Reservation
from streams.ingest.upload_rate import PacedReader

PIECE_BYTES = 256 << 10
"""Bytes unpacked per step: half a millisecond."""

_MAX_MEMBERS = 64
"""Maximum members of a gzip body. Each costs an allocation of 40 kB and may be empty."""


class Decompressor:
    """Streaming decompressor for gzip, with one or several members, and zlib (which HTTP calls deflate)."""

    def __init__(self) -> None:
        self._members = 0
        self._next()

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the unpacked chunk in pieces of at most `PIECE_BYTES`."""
        try:
            while True:
                if self._member.eof:
                    if not chunk:
                        return
                    self._next()
                piece = self._member.decompress(chunk, PIECE_BYTES)
                chunk = self._member.unused_data or self._member.unconsumed_tail
                if piece:
                    yield piece
                elif not chunk:
                    return
        except zlib.error as error:
            raise RequestError(f"body: invalid gzip: {error}; send valid gzip data", 400, "bad gzip") from error

    def end(self) -> None:
        """Raise `RequestError` if the last member is incomplete."""
        if not self._member.eof:
            raise RequestError("body: the gzip stream is incomplete; send the complete stream", 400, "bad gzip")

    def _next(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise RequestError(f"body: more than {_MAX_MEMBERS} gzip members; send one member", 400, "bad gzip")
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 32)


def check_length(request: web.Request, reservation: Reservation, max_bytes: int) -> None:
    """Raise `RequestError` if the declared length of a body is too large, or exceeds the free in-flight bytes."""
    if (declared := request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    reservation.check(declared)


async def read_body(
    reader: PacedReader, decompressor: Decompressor | None, reservation: Reservation, turn: Turn, max_bytes: int
) -> bytes:
    """Return the unpacked body.

    Parameters
    ----------
    reader
        Reader of the received bytes.
    decompressor
        Result of `decompressor_for`.
    reservation
        Reservation that grows with the unpacked bytes.
    turn
        Turn of the sender: one body per sender is unpacked at a time.
    max_bytes
        Maximum unpacked bytes.

    Raises
    ------
    RequestError
        If the body is too large, too slow or malformed, or if there are not enough free in-flight bytes.
    """
    try:
        body = await _receive(reader, decompressor, reservation, turn, max_bytes)
    # An invalid chunk, a wrong length, or a connection that ended early.
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError, ConnectionError) as error:
        raise RequestError(
            "body: the transfer is incomplete or malformed; send the request again", 400, "broken transfer"
        ) from error
    if decompressor is not None:
        decompressor.end()
    return body


async def _receive(
    reader: PacedReader, decompressor: Decompressor | None, reservation: Reservation, turn: Turn, max_bytes: int
) -> bytes:
    body = bytearray()
    packed = 0
    while chunk := await reader.read():
        packed += len(chunk)
        if packed > max_bytes:  # a gzip stream may be endless and empty
            raise _too_large(max_bytes)
        if decompressor is None:
            reservation.grow(len(chunk))
            body += chunk
            continue
        pieces = decompressor.pieces(chunk)
        while True:
            async with turn.lock:
                piece = next(pieces, None)
                if piece is None:
                    break
                if len(body) + len(piece) > max_bytes:
                    raise _too_large(max_bytes)
                reservation.grow(len(piece))
                body += piece
                if len(piece) >= PIECE_BYTES:
                    await asyncio.sleep(0)  # yield to other requests
    return bytes(body)


def decompressor_for(request: web.Request) -> Decompressor | None:
    """Return the decompressor for a request, None if the body is not compressed; raise `RequestError` (415) if unknown.

    The content encoding decides: gzip, deflate or none.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return Decompressor()
    raise RequestError("Content-Encoding: not supported; send gzip, deflate or no encoding", 415, "encoding")


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        f"body: more than {max_bytes:,} bytes unpacked; send fewer events per request", 413, "too large"
    )

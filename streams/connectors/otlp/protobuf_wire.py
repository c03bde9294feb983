"""A minimal scanner of the protobuf wire format that finds the records in an export request.

`google.protobuf` then parses each span separately: a malformed span does not affect other spans, a span without GenAI
names is never parsed, and at most one span is unpacked at a time (4 MB of empty submessages unpack to 100 MB).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp.request_limits import MAX_DEPTH, MAX_FIELDS

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}


def submessages(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    r"""Yield field number, start and end of each length-delimited field of the message at ``raw[start:end]``.

    Raises
    ------
    DecodeError
        If the bytes are not a protobuf message.
    ContractError
        If the message has more fields than `MAX_FIELDS`.

    Examples
    --------
    >>> [(n, b"\x0a\x02hi\x10\x01"[i:j]) for n, i, j in submessages(b"\x0a\x02hi\x10\x01", 0, 6)]
    [(1, b'hi')]
    """
    at, left = start, MAX_FIELDS
    try:
        while at < end:
            if (left := left - 1) < 0:
                raise ContractError(
                    f"more than {MAX_FIELDS:,} fields in a message; send smaller batches", code="too_many_values"
                )
            # Inlined: OTLP tags have one byte and sizes mostly two, so a function call costs more than the read.
            if (tag := raw[at]) < 0x80:
                at += 1
            else:
                tag, at = _varint(raw, at, end)
            if tag & 7 != _BYTES:
                at = _skip(raw, at, end, tag & 7)
                continue
            if (size := raw[at]) < 0x80:
                at += 1
            else:
                size, at = _varint(raw, at, end)
            if size > end - at:
                raise DecodeError(
                    f"byte {at}: a field of {size} bytes exceeds its message by {size - end + at}; send valid protobuf"
                )
            yield tag >> 3, at, at + size
            at += size
    except IndexError as error:
        raise DecodeError(f"byte {at}: the body ends within a field; send the complete body") from error
    if at > end:
        raise DecodeError(f"byte {end}: the message ends within a field; send the complete body")


def with_valid_texts(descriptor: Any, raw: bytes) -> bytes:
    """Return a message with a question mark for each byte of its texts that is not UTF-8; no field changes its size.

    Raises
    ------
    RecordError
        If the bytes are not a protobuf message, or have too many fields.
    """
    out = bytearray(raw)
    left = [(descriptor, 0, len(raw), MAX_DEPTH)]
    while left:
        kind, start, end, depth = left.pop()
        for number, i, j in submessages(raw, start, end):
            of = kind.fields_by_number.get(number)
            if of is None:
                continue
            if of.type == of.TYPE_STRING:
                out[i:j] = _valid(raw[i:j])
            elif of.type == of.TYPE_MESSAGE and depth:
                left.append((of.message_type, i, j, depth - 1))
    return bytes(out)


def _valid(text: bytes) -> bytes:
    return text.decode("utf-8", "surrogateescape").encode("utf-8", "replace")


def _skip(raw: bytes, at: int, end: int, kind: int) -> int:
    """Return the end of a field that is not length-delimited."""
    if kind == _VARINT:
        return _varint(raw, at, end)[1]
    if kind in _FIXED:
        return at + _FIXED[kind]
    raise DecodeError(f"byte {at}: unknown wire type {kind}; send OTLP protobuf")


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError(f"byte {at}: incomplete number; send the complete body as OTLP protobuf")

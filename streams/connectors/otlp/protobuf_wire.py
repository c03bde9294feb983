"""Just enough of the protobuf wire format to find the records in an export request.

Each span is then parsed alone by `google.protobuf`: a broken one leaves its neighbours whole, one of foreign names is
never parsed, and no more than one is ever held unpacked (4 MB of empty submessages unpack to a hundred).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp.request_limits import MAX_DEPTH, MAX_FIELDS

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}


def submessages(raw: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    r"""Yield field number, begin and end of each length-delimited field of the message at ``raw[begin:end]``.

    Raises
    ------
    DecodeError
        Where it is no protobuf message.
    ContractError
        Where it has more fields than `MAX_FIELDS`.

    Examples
    --------
    >>> [(n, b"\x0a\x02hi\x10\x01"[i:j]) for n, i, j in submessages(b"\x0a\x02hi\x10\x01", 0, 6)]
    [(1, b'hi')]
    """
    at, left = begin, MAX_FIELDS
    try:
        while at < end:
            if (left := left - 1) < 0:
                raise ContractError(
                    f"over {MAX_FIELDS} fields in one message; send smaller batches", code="too_many_values"
                )
            # Tags are one byte in OTLP and sizes mostly two: read here, as a call costs more than the reading.
            if (tag := raw[at]) < 0x80:
                at += 1
            else:
                tag, at = _varint(raw, at, end)
            if tag & 7 != _BYTES:
                at = _passed(raw, at, end, tag & 7)
                continue
            if (size := raw[at]) < 0x80:
                at += 1
            else:
                size, at = _varint(raw, at, end)
            if size > end - at:
                raise DecodeError(f"byte {at}: a field of {size} bytes in a message that ends after {end - at}")
            yield tag >> 3, at, at + size
            at += size
    except IndexError as error:
        raise DecodeError(f"byte {at}: the body ends within a field") from error
    if at > end:
        raise DecodeError(f"byte {end}: the message ends within a field")


def with_valid_texts(descriptor: Any, raw: bytes) -> bytes:
    """Return a message in whose texts each byte that is no UTF-8 is a question mark: no field changes its size.

    Raises
    ------
    RecordError
        Where it is no protobuf message, or has too many fields.
    """
    out = bytearray(raw)
    left = [(descriptor, 0, len(raw), MAX_DEPTH)]
    while left:
        kind, begin, end, depth = left.pop()
        for number, i, j in submessages(raw, begin, end):
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


def _passed(raw: bytes, at: int, end: int, kind: int) -> int:
    """Return where a field of another kind ends."""
    if kind == _VARINT:
        return _varint(raw, at, end)[1]
    if kind in _FIXED:
        return at + _FIXED[kind]
    raise DecodeError(f"byte {at}: wire type {kind}; the body is no OTLP protobuf")


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DecodeError(f"byte {at}: a number that does not end; the body is cut, or no OTLP protobuf")

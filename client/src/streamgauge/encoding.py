"""JSON encoding of the host's objects.

``orjson.dumps`` is also the fastest copy: 0.8 us for a 3 kB event, against 10 us for copying dicts and lists in Python.
The event is therefore encoded inside the host's call, and later changes of the host's lists have no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MAX_OBJECT_CHARS = 10_000
TOO_DEEP = "[nested too deep]"


def encode(event: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the event as JSON bytes, and whether a value had to be converted to text."""
    try:
        return _exact_size_copy(orjson.dumps(event)), False
    except TypeError:  # orjson's JSONEncodeError is one
        return orjson.dumps(to_json_value(event)), True


def _exact_size_copy(raw: bytes) -> bytes:
    """Copy bytes into memory of exactly their size.

    orjson grows a buffer and shrinks it at the end; shrinking costs the allocator 2 to 4 us if the result is kept. With
    a copy the buffer is free at once, and warm for the next event: 0.3 us for a small event, 2 us for 3.3 kB.
    """
    return bytes(memoryview(raw))


def to_json_value(value: Any, depth: int = 32) -> Any:
    """Convert a value to JSON types: keys to text, sets to lists, unknown objects to their `str`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if depth <= 0:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {replace_surrogates(str(key)): to_json_value(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json_value(item, depth - 1) for item in value]
    return _object(value)


def _scalar(value: float | str | None) -> Any:
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _object(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    try:
        return orjson.loads(orjson.dumps(value))  # dates, UUIDs, enums, dataclasses
    except TypeError:
        return replace_surrogates(str(value)[:MAX_OBJECT_CHARS])


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else str(text)

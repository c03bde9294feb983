"""From the host's objects to JSON bytes, whatever the host gave us.

``orjson.dumps`` is also the cheapest copy there is: 0.8 us for a 3 kB event, where copying dicts and lists in Python
takes 10 us. So the event becomes bytes in the host's call, and what the host does to its lists later changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MAX_OBJECT_CHARS = 10_000


def encode(event: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the event as JSON bytes, and whether something in it had to be turned to text first."""
    try:
        return _compact(orjson.dumps(event)), False
    except TypeError:  # orjson's JSONEncodeError is one
        return orjson.dumps(plain(event)), True


def _compact(raw: bytes) -> bytes:
    """Copy bytes into memory of just their size.

    orjson writes into a buffer that it grows and then cuts, which the allocator takes 2 to 4 us for when the result is
    kept. Copied, the buffer is free at once, and warm for the next event: 0.3 us for a small event, 2 us for 3.3 kB.
    """
    return bytes(memoryview(raw))


def plain(value: Any, depth: int = 32) -> Any:
    """Return the nearest that JSON has to a value: keys as text, sets as lists, unknown objects as their `str`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value)
    if depth <= 0:
        return "[nested too deep]"
    if isinstance(value, Mapping):
        return {printable(str(key)): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth - 1) for item in value]
    return _object(value)


def _scalar(value: float | str | None) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _object(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    try:
        return orjson.loads(orjson.dumps(value))  # dates, UUIDs, enums, dataclasses
    except TypeError:
        return printable(str(value)[:MAX_OBJECT_CHARS])


def printable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 does not have."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else str(text)

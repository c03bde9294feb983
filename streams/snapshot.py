"""A pipeline's state as bytes: versioned, explicit (no pickle: a state topic would be code), compressed, checksummed.

Layout: magic with version, CRC-32 of what follows the head, size unpacked; then zstd of the index's length, the index
as JSON, and the buffers in turn.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard

from schemas.errors import StateError

_MAGIC = b"SGS1"
_HEAD = struct.Struct("<4sIQ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of one partition up to and including ``offset``."""

    partition: int
    offset: int
    versions: Mapping[str, int]
    parts: Mapping[str, Mapping[str, Any]]


def encode(snapshot: Snapshot) -> bytes:
    """Serialise; the inverse of `decode`.

    Examples
    --------
    >>> s = Snapshot(0, 7, {"a": 1}, {"a": {"x": np.arange(3), "nan": float("nan"), "k": {"b": [1, b"z"]}}})
    >>> decode(encode(s)).parts["a"]["x"].tolist(), decode(encode(s)).offset
    ([0, 1, 2], 7)
    """
    buffers = _Buffers()
    index = json.dumps(
        {
            "partition": snapshot.partition,
            "offset": snapshot.offset,
            "versions": dict(snapshot.versions),
            "parts": _strip(dict(snapshot.parts), buffers),
        },
        separators=(",", ":"),
    ).encode()
    body = struct.pack("<Q", len(index)) + index + b"".join(buffers.parts)
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    return _HEAD.pack(_MAGIC, zlib.crc32(packed), len(body)) + packed


def decode(raw: bytes) -> Snapshot:
    """Read a snapshot; raise `StateError` if it is damaged or of another format."""
    if len(raw) < _HEAD.size or raw[:4] != _MAGIC:
        raise StateError("snapshot: not of this format; the partition starts cold")
    _, checksum, size = _HEAD.unpack_from(raw)
    packed = raw[_HEAD.size :]
    if zlib.crc32(packed) != checksum:
        raise StateError("snapshot: checksum differs; the partition starts cold")
    body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    (length,) = struct.unpack_from("<Q", body)
    index = json.loads(body[8 : 8 + length])
    parts = _fill(index["parts"], memoryview(body)[8 + length :])
    return Snapshot(index["partition"], index["offset"], index["versions"], parts)


class _Buffers:
    """Bytes one after another, each known by where it begins."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> int:
        begin = self.size
        self.parts.append(part)
        self.size += len(part)
        return begin


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _strip(value: Any, buffers: _Buffers) -> Any:
    """Replace arrays and bytes by a note of where they stand."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (list, tuple)):
        # Most of a state are ten thousands of short lists of names: to walk through them took a tenth of the worker.
        return value if _PLAIN.issuperset(map(type, value)) else [_strip(v, buffers) for v in value]
    if isinstance(value, np.ndarray):
        return {"$nd": [buffers.add(np.ascontiguousarray(value).tobytes()), value.dtype.str, list(value.shape)]}
    if isinstance(value, bytes):
        return {"$b": [buffers.add(value), len(value)]}
    if isinstance(value, Mapping):
        return {"$m": [[_strip(k, buffers), _strip(v, buffers)] for k, v in value.items()]}
    return value.item() if isinstance(value, np.generic) else value


def _fill(value: Any, body: memoryview) -> Any:
    if isinstance(value, list):
        return [_fill(v, body) for v in value]
    if not isinstance(value, dict):
        return value
    if "$nd" in value:
        at, dtype, shape = value["$nd"]
        count = int(np.prod(shape))
        return np.frombuffer(body, np.dtype(dtype), count, at).reshape(shape).copy()
    if "$b" in value:
        at, length = value["$b"]
        return bytes(body[at : at + length])
    return {_key(_fill(k, body)): _fill(v, body) for k, v in value["$m"]}


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

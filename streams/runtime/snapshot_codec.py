"""A pipeline's state as bytes: versioned, explicit (no pickle: a state topic would be code), compressed, checksummed.

Layout: magic with version, CRC-32 of what follows the head, size unpacked; then zstd of the index's length, the index
as JSON, and the buffers in turn.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard

from schemas.errors import StateError
from streams.runtime.decode import has_more_values

_MAGIC = b"SGS1"
_HEAD = struct.Struct("<4sIQ")
BYTES_MAX = 256 << 20
"""Largest state, unpacked, unless a setting says otherwise (``worker.snapshot_bytes_max``)."""
_VALUE_BYTES = 32
"""Of memory that a value of the index takes at most, in the mean."""
_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U\d{1,4}|\|S\d{1,4}")
_DIMENSIONS_MAX, _DIMENSION_END = 8, 1 << 31


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of one partition up to and including ``offset``."""

    partition: int
    offset: int
    versions: Mapping[str, int]
    parts: Mapping[str, Mapping[str, Any]]


def encode(snapshot: Snapshot, most: int = sys.maxsize) -> bytes:
    """Serialise; the inverse of `decode`.

    Raises
    ------
    StateError
        If `decode` with the same ``most`` would refuse it for its size.

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
    _check_size(len(body), most)
    _check_values(index, most)
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    return _HEAD.pack(_MAGIC, zlib.crc32(packed), len(body)) + packed


def decode(raw: bytes, most: int = BYTES_MAX) -> Snapshot:
    """Read a snapshot, of which nothing is trusted.

    Parameters
    ----------
    raw
        As `encode` writes it.
    most
        Largest size unpacked, in bytes; checked before anything is allocated.

    Raises
    ------
    StateError
        If it is damaged, of another format or too large.
    """
    packed, size = _checked_head(raw, most)
    try:
        body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        (length,) = struct.unpack_from("<Q", body)
        index = _parsed(body, length, most)
        reader = _Reader(memoryview(body)[8 + length :])
        parts = _fill(index["parts"], reader)
        reader.end()
        return _checked(Snapshot(index["partition"], index["offset"], index["versions"], parts))
    except (zstandard.ZstdError, struct.error, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StateError(f"snapshot: {error!r}"[:500] + "; it is not used") from error


def _checked_head(raw: bytes, most: int) -> tuple[bytes, int]:
    """Return what is packed and its size; the size is stated twice, and zstd allocates by its own statement."""
    if len(raw) < _HEAD.size or raw[:4] != _MAGIC:
        raise StateError("snapshot: not of this format; the partition starts cold")
    _, checksum, size = _HEAD.unpack_from(raw)
    packed = raw[_HEAD.size :]
    if zlib.crc32(packed) != checksum:
        raise StateError("snapshot: checksum differs; the partition starts cold", code="checksum")
    try:
        stated = zstandard.get_frame_parameters(packed).content_size
    except zstandard.ZstdError as error:
        raise StateError(f"snapshot: {error}; the partition starts cold") from error
    _check_size(max(size, stated), most)
    if stated != size:
        raise StateError(f"snapshot: {stated} bytes packed where {size} were said; the partition starts cold")
    return packed, size


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise StateError(f"snapshot: {size} bytes unpacked, at most worker.snapshot_bytes_max={most}", "size")


def _parsed(body: bytes, length: int, most: int) -> Any:
    """Return the index, once it is known that its values will take no more memory than the snapshot may."""
    if not 0 < length <= len(body) - 8:
        raise ValueError(f"an index of {length} bytes in {len(body)}")
    index = body[8 : 8 + length]
    _check_values(index, most)
    return json.loads(index)


def _check_values(index: bytes, most: int) -> None:
    """Refuse an index of so many values that they would take more memory than a snapshot may."""
    limit = most // _VALUE_BYTES
    if has_more_values(index, limit):
        raise StateError(f"snapshot: over {limit} values", "size")


def _checked(snapshot: Snapshot) -> Snapshot:
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in (snapshot.partition, snapshot.offset)):
        raise ValueError("partition or offset is none")
    if not isinstance(snapshot.versions, dict) or not all(type(n) is int for n in snapshot.versions.values()):
        raise ValueError("versions are none")
    if not isinstance(snapshot.parts, dict) or not all(isinstance(part, dict) for part in snapshot.parts.values()):
        raise ValueError("parts are none")
    if not all(isinstance(name, str) for name in snapshot.parts):
        raise ValueError("a part without a name")
    return snapshot


class _Reader:
    """Hands out buffers in the order in which they were written, each byte once: none can be asked for twice."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def take(self, at: Any, size: int) -> memoryview:
        if type(at) is not int or at != self._at or not 0 <= size <= len(self._body) - at:
            raise ValueError(
                f"a buffer of {size} bytes at {at!r}, where {self._at} was next of {len(self._body)}"[:200]
            )
        self._at += size
        return self._body[at : at + size]

    def array(self, at: Any, dtype: Any, shape: Any) -> Any:
        if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
            raise ValueError(f"dtype {dtype!r}"[:200])
        kind = np.dtype(dtype)
        if not isinstance(shape, list) or len(shape) > _DIMENSIONS_MAX:
            raise ValueError("a shape that is none")
        if not all(type(n) is int and 0 <= n < _DIMENSION_END for n in shape):
            raise ValueError(f"shape {shape}"[:200])
        raw = self.take(at, math.prod(shape) * kind.itemsize)
        return np.frombuffer(bytearray(raw), kind).reshape(shape) if len(raw) else np.zeros(shape, kind)

    def end(self) -> None:
        if self._at != len(self._body):
            raise ValueError(f"{len(self._body) - self._at} bytes belong to nothing")


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


def _fill(value: Any, reader: _Reader) -> Any:
    if isinstance(value, list):
        return [_fill(v, reader) for v in value]
    if not isinstance(value, dict):
        return value
    ((name, given),) = value.items()
    if name == "$nd":
        at, dtype, shape = given
        return reader.array(at, dtype, shape)
    if name == "$b":
        at, length = given
        return bytes(reader.take(at, _length(length)))
    if name != "$m":
        raise ValueError(f"{name!r} is no value"[:200])
    filled = {_key(_fill(k, reader)): _fill(v, reader) for k, v in given}
    if len(filled) != len(given):
        raise ValueError("a name twice")
    return filled


def _length(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a length that is none")
    return value


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

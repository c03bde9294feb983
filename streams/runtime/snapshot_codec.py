"""Snapshot codec: versioned, compressed and checksummed bytes of a pipeline's state.

The format is explicit. Pickle would let anyone with write access to the state topic run code.

Layout: magic with version, CRC-32 of the compressed body, uncompressed size; then a zstd frame with the length of the
index, the index as JSON, and all buffers in order.
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
MAX_BYTES = 256 << 20
"""Default maximum uncompressed size of a state (``worker.snapshot_bytes_max``)."""
_VALUE_BYTES = 32
"""Upper bound of the mean memory of a value in the index."""
_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U\d{1,4}|\|S\d{1,4}")
_MAX_DIMENSIONS, _DIMENSION_END = 8, 1 << 31


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of one partition up to and including ``offset``."""

    partition: int
    offset: int
    versions: Mapping[str, int]
    parts: Mapping[str, Mapping[str, Any]]


def encode(snapshot: Snapshot, max_bytes: int = sys.maxsize) -> bytes:
    """Serialise a snapshot; the inverse of `decode`.

    Raises
    ------
    StateError
        If the snapshot is so large that `decode` with the same ``max_bytes`` would refuse it.

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
            "parts": _extract_buffers(dict(snapshot.parts), buffers),
        },
        separators=(",", ":"),
    ).encode()
    body = struct.pack("<Q", len(index)) + index + b"".join(buffers.parts)
    _check_size(len(body), max_bytes)
    _check_values(index, max_bytes)
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    return _HEAD.pack(_MAGIC, zlib.crc32(packed), len(body)) + packed


def decode(raw: bytes, max_bytes: int = MAX_BYTES) -> Snapshot:
    """Decode a snapshot from untrusted bytes.

    Parameters
    ----------
    raw
        Output of `encode`.
    max_bytes
        Maximum uncompressed size, checked before memory is allocated.

    Raises
    ------
    StateError
        If the snapshot is damaged, of another format or too large.
    """
    packed, size = _check_head(raw, max_bytes)
    try:
        body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        (length,) = struct.unpack_from("<Q", body)
        index = _parse_index(body, length, max_bytes)
        reader = _Reader(memoryview(body)[8 + length :])
        parts = _fill_buffers(index["parts"], reader)
        reader.end()
        return _validated(Snapshot(index["partition"], index["offset"], index["versions"], parts))
    except (zstandard.ZstdError, struct.error, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StateError(f"snapshot: {error!r}"[:500] + "; it is not used") from error


def _check_head(raw: bytes, max_bytes: int) -> tuple[bytes, int]:
    """Return the compressed body and its uncompressed size.

    Head and zstd frame both state the size, and both are checked because zstd allocates by the frame's.
    """
    if len(raw) < _HEAD.size or raw[:4] != _MAGIC:
        raise StateError("snapshot: not in the snapshot format; the partition starts cold")
    _, checksum, size = _HEAD.unpack_from(raw)
    packed = raw[_HEAD.size :]
    if zlib.crc32(packed) != checksum:
        raise StateError("snapshot: checksum differs; the partition starts cold", code="checksum")
    try:
        stated = zstandard.get_frame_parameters(packed).content_size
    except zstandard.ZstdError as error:
        raise StateError(f"snapshot: {error}; the partition starts cold") from error
    _check_size(max(size, stated), max_bytes)
    if stated != size:
        raise StateError(f"snapshot: size {stated} in the frame, {size} in the head; the partition starts cold")
    return packed, size


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise StateError(
            f"snapshot: {size} bytes uncompressed exceed worker.snapshot_bytes_max={max_bytes}; raise the setting",
            "size",
        )


def _parse_index(body: bytes, length: int, max_bytes: int) -> Any:
    """Parse the index after checking that its values fit in the memory of a snapshot."""
    if not 0 < length <= len(body) - 8:
        raise ValueError(f"index of {length} bytes in a body of {len(body)} bytes")
    index = body[8 : 8 + length]
    _check_values(index, max_bytes)
    return json.loads(index)


def _check_values(index: bytes, max_bytes: int) -> None:
    """Refuse an index whose values would need more memory than a snapshot may use."""
    limit = max_bytes // _VALUE_BYTES
    if has_more_values(index, limit):
        raise StateError(
            f"snapshot: over {limit} values, the limit for worker.snapshot_bytes_max={max_bytes}; raise the setting",
            "size",
        )


def _validated(snapshot: Snapshot) -> Snapshot:
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in (snapshot.partition, snapshot.offset)):
        raise ValueError("partition or offset is invalid")
    if not isinstance(snapshot.versions, dict) or not all(type(n) is int for n in snapshot.versions.values()):
        raise ValueError("versions are invalid")
    if not isinstance(snapshot.parts, dict) or not all(isinstance(part, dict) for part in snapshot.parts.values()):
        raise ValueError("parts are invalid")
    if not all(isinstance(name, str) for name in snapshot.parts):
        raise ValueError("part without a name")
    return snapshot


class _Reader:
    """Reader of the buffers in written order; it reads each byte once, so the index cannot multiply memory."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._offset = 0

    def read(self, start: Any, size: int) -> memoryview:
        if type(start) is not int or start != self._offset or not 0 <= size <= len(self._body) - start:
            raise ValueError(
                f"buffer of {size} bytes at {start!r}; expected at {self._offset} of {len(self._body)}"[:200]
            )
        self._offset += size
        return self._body[start : start + size]

    def array(self, start: Any, dtype: Any, shape: Any) -> Any:
        if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
            raise ValueError(f"invalid dtype {dtype!r}"[:200])
        kind = np.dtype(dtype)
        if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
            raise ValueError("invalid shape")
        if not all(type(n) is int and 0 <= n < _DIMENSION_END for n in shape):
            raise ValueError(f"invalid shape {shape}"[:200])
        raw = self.read(start, math.prod(shape) * kind.itemsize)
        return np.frombuffer(bytearray(raw), kind).reshape(shape) if len(raw) else np.zeros(shape, kind)

    def end(self) -> None:
        if self._offset != len(self._body):
            raise ValueError(f"{len(self._body) - self._offset} bytes belong to no buffer")


class _Buffers:
    """Concatenated buffers, identified by their start."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> int:
        start = self.size
        self.parts.append(part)
        self.size += len(part)
        return start


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _extract_buffers(value: Any, buffers: _Buffers) -> Any:
    """Replace arrays and bytes by references into the buffers."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (list, tuple)):
        # A state holds tens of thousands of short lists of names; walking through them took 10 % of the worker's time.
        return value if _PLAIN.issuperset(map(type, value)) else [_extract_buffers(v, buffers) for v in value]
    if isinstance(value, np.ndarray):
        return {"$nd": [buffers.add(np.ascontiguousarray(value).tobytes()), value.dtype.str, list(value.shape)]}
    if isinstance(value, bytes):
        return {"$b": [buffers.add(value), len(value)]}
    if isinstance(value, Mapping):
        return {"$m": [[_extract_buffers(k, buffers), _extract_buffers(v, buffers)] for k, v in value.items()]}
    return value.item() if isinstance(value, np.generic) else value


def _fill_buffers(value: Any, reader: _Reader) -> Any:
    if isinstance(value, list):
        return [_fill_buffers(v, reader) for v in value]
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    if name == "$nd":
        start, dtype, shape = content
        return reader.array(start, dtype, shape)
    if name == "$b":
        start, length = content
        return bytes(reader.read(start, _length(length)))
    if name != "$m":
        raise ValueError(f"unknown value type {name!r}"[:200])
    filled = {_key(_fill_buffers(k, reader)): _fill_buffers(v, reader) for k, v in content}
    if len(filled) != len(content):
        raise ValueError("duplicate name")
    return filled


def _length(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("length is not an integer")
    return value


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

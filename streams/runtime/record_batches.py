"""Record batches that would stop or exhaust a consumer: refused whole, named by one record, and passed over.

A batch that unpacks to gigabytes, holds millions of records or cannot be read makes aiokafka fail, and fail again at
the same offset for ever. Here one record stands for what was not read, at the batch's last offset. Its value is a
`RefusedBatch`: the consumer dead-letters it like any record that it cannot read, commits, and goes on behind it.

Importing this module installs the guard for every consumer of the process, Faust's too: `streams.runtime.topics`, which
all of them need, imports it.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from schemas.errors import BatchError
from streams.runtime import unpacking
from streams.runtime.metrics import BATCHES_REFUSED
from streams.runtime.unpacking import MAX_UNPACKED_BYTES

log = logging.getLogger(__name__)

MAX_BATCH_RECORDS: Final = 100_000
"""librdkafka's producers put 10,000 into a batch at most; each record is about 600 bytes as an object."""
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
_CODECS: Final = ("no codec", "gzip", "snappy", "lz4", "zstd")
_CODEC_MASK: Final = 0x07


class RefusedBatch(bytes):
    """The packed records of a batch that was not read: the value of the record that stands for it.

    Attributes
    ----------
    error
        Names the offsets, the size and the reason.
    """

    error: BatchError

    @classmethod
    def of(cls, packed: bytes, error: BatchError) -> RefusedBatch:
        """Return the packed records with the reason."""
        refused = cls(packed)
        refused.error = error
        return refused


def raise_refused(value: bytes | None) -> None:
    """Raise `BatchError` if a record's value stands for a batch that was refused."""
    if type(value) is RefusedBatch:
        raise value.error


@dataclass(frozen=True, slots=True)
class _Stand:
    """The record that stands for a batch; it has the attributes that aiokafka reads."""

    offset: int
    timestamp: int
    timestamp_type: int
    value: RefusedBatch
    key: bytes = b""
    checksum: None = None
    headers: tuple[()] = ()


class _Batch:
    """A batch whose records are read within bounds."""

    def __init__(self, batch: Any, raw: memoryview, allowance: _Allowance) -> None:
        self._batch = batch
        self._raw = raw
        self._allowance = allowance
        self._legacy = raw[16] < 2
        self._records = 1 if self._legacy else _HEAD.unpack_from(raw)[12]
        allowance.records -= self._records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            if self._records > MAX_BATCH_RECORDS:
                raise BatchError(f"{self._records} records in one batch; {MAX_BATCH_RECORDS} are read")
            if self._codec() == 0 and not self._legacy:
                yield from self._batch
            else:
                for record in self._batch:
                    self._allowance.size -= len(record.value or b"")
                    yield record
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the consumer goes on behind it
            yield self._stand(error)

    def _codec(self) -> int:
        return 0 if self._legacy else int(_HEAD.unpack_from(self._raw)[5] & _CODEC_MASK)

    def _stand(self, error: Exception) -> _Stand:
        packed = bytes(self._raw if self._legacy else self._raw[_HEAD.size :])
        last = self._batch.next_offset - 1
        first = int.from_bytes(self._raw[:8], "big")
        codec = _CODECS[self._codec()] if self._codec() < len(_CODECS) else f"codec {self._codec()}"
        name = type(error).__name__
        BATCHES_REFUSED.labels(codec).inc()
        reason = BatchError(
            f"record batch: offsets {first} to {last}, {len(packed)} bytes of {codec}, are not read: {name}: "
            f"{str(error)[:500]}; publish batches that unpack to at most {MAX_UNPACKED_BYTES} bytes, headers in UTF-8"
        )
        log.warning("%s", reason)
        when, kind = (0, 0) if self._legacy else (self._batch.max_timestamp, self._batch.timestamp_type)
        return _Stand(last, when, kind, RefusedBatch.of(packed, reason))


@dataclass(slots=True)
class _Allowance:
    """What may still be read of one fetch before the next one is made."""

    records: int = MAX_BATCH_RECORDS
    size: int = MAX_UNPACKED_BYTES


class GuardedRecords:
    """The record batches of one fetch of one partition, in place of aiokafka's.

    Ends once it has given as much as one batch may hold: what is left is fetched again. A fetch of 4 MB may hold
    thousands of small batches, each of which unpacks to megabytes.
    """

    def __init__(self, data: bytes) -> None:
        self._inner = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0
        self._allowance = _Allowance()

    def size_in_bytes(self) -> int:
        """Return the bytes of the fetch."""
        return int(self._inner.size_in_bytes())

    def has_next(self) -> bool:
        """Return whether another batch is given."""
        return self._allowance.records > 0 and self._allowance.size > 0 and bool(self._inner.has_next())

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._inner.next_batch()
        begin = self._at
        self._at = begin + 12 + int.from_bytes(self._data[begin + 8 : begin + 12], "big")
        if batch is None or batch.is_control_batch:
            return batch
        return _Batch(batch, self._data[begin : self._at], self._allowance)


unpacking.install()
fetcher.MemoryRecords = GuardedRecords

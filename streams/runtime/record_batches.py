"""Guard against Kafka record batches that would stop or exhaust a consumer.

A batch that decompresses to gigabytes, holds millions of records or is unreadable makes aiokafka fail at the same
offset forever. The guard refuses the batch and replaces it by one placeholder record at the batch's last offset. The
value of the placeholder is a `RefusedBatch`. The consumer dead-letters the placeholder, commits and continues after the
batch.

Importing this module installs the guard for every consumer of the process, including Faust's. `streams.runtime.topics`,
which every consumer needs, imports it.
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
"""Maximum records of a batch. librdkafka's producers write at most 10,000; each takes about 600 bytes as an object."""
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
_CODECS: Final = ("no codec", "gzip", "snappy", "lz4", "zstd")
_CODEC_MASK: Final = 0x07


class RefusedBatch(bytes):
    """Compressed records of a refused batch; the value of its placeholder record.

    Attributes
    ----------
    error
        Error that names the offsets, the size and the reason.
    """

    error: BatchError

    @classmethod
    def of(cls, packed: bytes, error: BatchError) -> RefusedBatch:
        """Return the compressed records with their error."""
        refused = cls(packed)
        refused.error = error
        return refused


def raise_refused(value: bytes | None) -> None:
    """Raise `BatchError` if a record's value is a refused batch."""
    if type(value) is RefusedBatch:
        raise value.error


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """Placeholder record of a refused batch, with the attributes that aiokafka reads."""

    offset: int
    timestamp: int
    timestamp_type: int
    value: RefusedBatch
    key: bytes = b""
    checksum: None = None
    headers: tuple[()] = ()


class _Batch:
    """Record batch that is read within the limits of its fetch."""

    def __init__(self, batch: Any, raw: memoryview, budget: _FetchBudget) -> None:
        self._batch = batch
        self._raw = raw
        self._budget = budget
        self._legacy = raw[16] < 2
        self._records = 1 if self._legacy else _HEAD.unpack_from(raw)[12]
        budget.records -= self._records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            if self._records > MAX_BATCH_RECORDS:
                raise BatchError(f"{self._records} records exceed the maximum of {MAX_BATCH_RECORDS} per batch")
            if self._codec() == 0 and not self._legacy:
                yield from self._batch
            else:
                for record in self._batch:
                    self._budget.size -= len(record.value or b"")
                    yield record
        except Exception as error:  # noqa: BLE001 - after any error, the consumer must continue after the batch
            yield self._placeholder(error)

    def _codec(self) -> int:
        return 0 if self._legacy else int(_HEAD.unpack_from(self._raw)[5] & _CODEC_MASK)

    def _placeholder(self, error: Exception) -> _Placeholder:
        packed = bytes(self._raw if self._legacy else self._raw[_HEAD.size :])
        last = self._batch.next_offset - 1
        first = int.from_bytes(self._raw[:8], "big")
        codec = _CODECS[self._codec()] if self._codec() < len(_CODECS) else f"codec {self._codec()}"
        name = type(error).__name__
        BATCHES_REFUSED.labels(codec).inc()
        reason = BatchError(
            f"record batch: offsets {first} to {last} refused ({len(packed)} bytes, {codec}): {name}: "
            f"{str(error)[:500]}; publish batches that decompress to at most {MAX_UNPACKED_BYTES} bytes, with headers "
            "in UTF-8"
        )
        log.warning("%s", reason)
        timestamp, timestamp_type = (0, 0) if self._legacy else (self._batch.max_timestamp, self._batch.timestamp_type)
        return _Placeholder(last, timestamp, timestamp_type, RefusedBatch.of(packed, reason))


@dataclass(slots=True)
class _FetchBudget:
    """Remaining records and bytes of one fetch."""

    records: int = MAX_BATCH_RECORDS
    size: int = MAX_UNPACKED_BYTES


class GuardedRecords:
    """Guarded record batches of one fetch of one partition; replaces aiokafka's class.

    Iteration ends once the batches have reached the limits of a single batch; the remaining batches are fetched again.
    A fetch of 4 MB may hold thousands of small batches, each of which decompresses to megabytes.
    """

    def __init__(self, data: bytes) -> None:
        self._inner = MemoryRecords(data)
        self._data = memoryview(data)
        self._position = 0
        self._budget = _FetchBudget()

    def size_in_bytes(self) -> int:
        """Return the size of the fetch in bytes."""
        return int(self._inner.size_in_bytes())

    def has_next(self) -> bool:
        """Return whether another batch follows within the budget."""
        return self._budget.records > 0 and self._budget.size > 0 and bool(self._inner.has_next())

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._inner.next_batch()
        start = self._position
        self._position = start + 12 + int.from_bytes(self._data[start + 8 : start + 12], "big")
        if batch is None or batch.is_control_batch:
            return batch
        return _Batch(batch, self._data[start : self._position], self._budget)


unpacking.install()
fetcher.MemoryRecords = GuardedRecords

"""Snapshot store on a compacted topic: a snapshot is a series of pieces, completed by a manifest.

Any client with write access can write anything to the topic, so no record is trusted: keys, sizes and manifests are
validated, memory is bounded before it is allocated, and with signing keys only signed snapshots are valid.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.errors import SignatureError, StateError
from schemas.setting_sections import KafkaSettings
from schemas.settings import Settings
from streams.runtime.signing import UNSIGNED, Signer
from streams.runtime.snapshot_codec import MAX_BYTES, Snapshot, decode, encode
from streams.runtime.topics import client_options

KIND = "snapshot"
PIECE_BYTES = 512 << 10
"""Maximum size of a piece, written or read."""
_FIRST_SCAN_RECORDS = 64
_OVERHEAD_BYTES = 1 << 20
"""Maximum excess of compressed bytes over incompressible input."""
_MAX_PIECES = 1 << 18
_PIECE_OVERHEAD_BYTES = 256
"""Memory of a buffered piece besides its bytes, so that many empty pieces are bounded like few large ones."""
_MANIFEST_BYTES = 4096
_KEY = re.compile(rb"(\d{1,6})/(?:manifest/([01])|([01])/(\d{1,6}))")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Record that completes the pieces of a slot to a snapshot."""

    offset: int
    slot: int
    pieces: int
    crc: int
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """Complete snapshot as stored in the topic."""

    manifest: Manifest
    pieces: tuple[bytes, ...]
    max_bytes: int

    def decode(self) -> Snapshot:
        """Decode the snapshot; raise `StateError` if it is invalid."""
        snapshot = decode(b"".join(self.pieces), self.max_bytes)
        if snapshot.offset != self.manifest.offset:
            raise StateError(
                f"snapshot: offset {snapshot.offset}, but {self.manifest.offset} in its manifest; it is not used"
            )
        return snapshot


def to_records(  # noqa: PLR0913, PLR0917 - the snapshot, its destination and its limits
    snapshot: Snapshot,
    slot: int,
    signer: Signer = UNSIGNED,
    topic: str = "",
    piece_bytes: int = PIECE_BYTES,
    max_bytes: int = sys.maxsize,
) -> list[tuple[bytes, bytes]]:
    """Return the records (key, value) of a snapshot, manifest last.

    Snapshots alternate between two slots (double buffering), so a writer that is killed midway leaves the pieces of the
    previous snapshot intact.

    Raises
    ------
    StateError
        If the snapshot exceeds ``max_bytes`` uncompressed, so it could not be restored.
    """
    raw = encode(snapshot, max_bytes)
    name = f"{snapshot.partition}/{slot}"
    pieces = [raw[start : start + piece_bytes] for start in range(0, len(raw), piece_bytes)]
    manifest: dict[str, Any] = {"offset": snapshot.offset, "slot": slot, "pieces": len(pieces), "crc": zlib.crc32(raw)}
    if signature := signer.sign(KIND, topic, snapshot.partition, b"%d" % snapshot.offset, raw):
        manifest["signature"] = signature
    records = [(f"{name}/{i}".encode(), piece) for i, piece in enumerate(pieces)]
    return [*records, (f"{snapshot.partition}/manifest/{slot}".encode(), orjson.dumps(manifest))]


class SnapshotAssembler:
    """Assembler of a partition's records, in log order, into the last complete snapshot of each slot.

    Parameters
    ----------
    partition
        Partition of the snapshots.
    max_bytes
        Maximum uncompressed size of a snapshot; buffered pieces are bounded to two snapshots of this size.
    signer, topic
        Signer that verifies the snapshots, and the topic that their signatures cover.
    log_end
        Next offset of the event log. A snapshot beyond it is forged, or the log was created again; it replaces no other
        snapshot.

    Attributes
    ----------
    complete
        Complete snapshots, by slot.
    errors
        Errors of rejected snapshots.
    """

    def __init__(
        self,
        partition: int,
        max_bytes: int = MAX_BYTES,
        signer: Signer = UNSIGNED,
        topic: str = "",
        log_end: int = sys.maxsize,
    ) -> None:
        self.complete: dict[int, StoredSnapshot] = {}
        self.errors: list[StateError] = []
        self._partition, self._max_bytes = partition, max_bytes
        self._signer, self._topic = signer, topic
        self._log_end = log_end
        self._pieces: dict[tuple[int, int], bytes] = {}
        self._buffered_bytes = 0

    def add(self, record: ConsumerRecord) -> None:
        """Add the next record."""
        key = _KEY.fullmatch(record.key or b"")
        if key is None or int(key[1]) != self._partition:
            return
        if key[2] is None:
            self._add_piece((int(key[3]), int(key[4])), record.value or b"")
        elif record.value is not None:
            try:
                self._add_manifest(_parse_manifest(record.value, int(key[2])))
            except StateError as error:
                self.errors.append(error)

    def newest_first(self) -> list[StoredSnapshot]:
        """Return the complete snapshots by descending offset; the write order does not matter."""
        return sorted(self.complete.values(), key=lambda s: s.manifest.offset, reverse=True)

    def _add_piece(self, slot_and_index: tuple[int, int], value: bytes) -> None:
        if (previous := self._pieces.pop(slot_and_index, None)) is not None:
            self._buffered_bytes -= len(previous) + _PIECE_OVERHEAD_BYTES
        size = self._buffered_bytes + len(value) + _PIECE_OVERHEAD_BYTES
        if len(value) <= PIECE_BYTES and size <= 2 * self._max_bytes + _OVERHEAD_BYTES:
            self._pieces[slot_and_index], self._buffered_bytes = value, size

    def _add_manifest(self, manifest: Manifest) -> None:
        pieces = tuple(self._pieces.get((manifest.slot, i), b"") for i in range(manifest.pieces))
        crc = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
        if crc != manifest.crc:
            # A later snapshot in this slot replaced the pieces, or two writers overlapped. A later manifest follows.
            return
        if manifest.offset >= self._log_end:
            raise StateError(
                f"snapshot of offset {manifest.offset}: the event log ends at {self._log_end}; the snapshot is forged, "
                "or the events topic was created again; the snapshot is not used",
                "offset",
            )
        try:
            offset = b"%d" % manifest.offset
            self._signer.check(manifest.signature, KIND, self._topic, self._partition, offset, b"".join(pieces))
        except SignatureError as error:
            raise StateError(f"snapshot of offset {manifest.offset}: {error}", error.reason) from error
        self.complete[manifest.slot] = StoredSnapshot(manifest, pieces, self._max_bytes)


def _parse_manifest(raw: bytes, slot: int) -> Manifest:
    try:
        fields = orjson.loads(raw[: _MANIFEST_BYTES + 1])
        numbers = [fields[name] for name in ("offset", "slot", "pieces", "crc")]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StateError(f"snapshot: invalid manifest: {error!r}"[:200]) from error
    signature = fields.get("signature")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers) or not isinstance(signature, str | None):
        raise StateError("snapshot: manifest with invalid values; it is not used")
    offset, stated_slot, count, crc = numbers
    manifest = Manifest(offset, stated_slot, count, crc, signature)
    if manifest.slot != slot or manifest.pieces > _MAX_PIECES:
        raise StateError(
            f"snapshot: manifest of slot {manifest.slot} with {manifest.pieces} pieces; slot {slot} and at most "
            f"{_MAX_PIECES} pieces are valid; it is not used"
        )
    return manifest


def latest(records: Iterable[ConsumerRecord], partition: int = 0) -> Snapshot | None:
    """Return the latest valid snapshot in a partition's records, which are in log order; None without a snapshot.

    Raises
    ------
    StateError
        If there are snapshots and none is valid.
    """
    assembler = SnapshotAssembler(partition)
    for record in records:
        assembler.add(record)
    return _first_valid(assembler)


def _first_valid(assembler: SnapshotAssembler) -> Snapshot | None:
    errors = list(assembler.errors)
    for stored in assembler.newest_first():
        try:
            return stored.decode()
        except StateError as error:
            errors.append(error)
    if errors:
        raise errors[-1]
    return None


async def load(settings: Settings, partition: int) -> Snapshot | None:
    """Read the latest valid snapshot of a partition from its topic; None without a snapshot.

    Raises
    ------
    StateError
        If there are snapshots and none is valid.
    """
    last_error: StateError | None = None
    async with open_consumer(settings.kafka, TopicPartition(settings.kafka.topic("snapshots"), partition)) as consumer:
        async for assembler in scan_from_end(consumer, settings, partition, Signer.of(settings)):
            try:
                if (snapshot := _first_valid(assembler)) is not None:
                    return snapshot
            except StateError as error:
                last_error = error
    if last_error is not None:
        raise last_error
    return None


async def scan_from_end(
    consumer: AIOKafkaConsumer, settings: Settings, partition: int, signer: Signer, log_end: int = sys.maxsize
) -> AsyncIterator[SnapshotAssembler]:
    """Yield the snapshots in the last records of a partition, then in eight times as many, up to the whole partition.

    The whole partition is read only if its end holds no valid snapshot, because of compaction or foreign records.
    """
    tp = TopicPartition(settings.kafka.topic("snapshots"), partition)
    first, end = await offset_range(consumer, tp)
    count = _FIRST_SCAN_RECORDS
    while end > first:
        start = max(first, end - count)
        assembler = SnapshotAssembler(partition, settings.worker.snapshot_bytes_max, signer, tp.topic, log_end)
        async for batch in read_range(consumer, tp, start, end):
            for record in batch:
                assembler.add(record)
        yield assembler
        if start == first:
            return
        count *= 8


async def offset_range(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """Return the first offset of a partition and the offset after its last record."""
    return (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]


@asynccontextmanager
async def open_consumer(
    kafka: KafkaSettings, tp: TopicPartition, *others: TopicPartition
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group that reads one partition and can query the offsets of other partitions.

    All partitions are assigned, because aiokafka loads metadata of assigned topics only; an offset query for another
    topic waits 0.1 s for its metadata. The other partitions are paused, so none of their records is fetched.
    """
    # "earliest" although every read seeks: a reset to the default, latest, may override a seek that follows an assign.
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 << 20,
        # An offset query waits behind the fetch of an empty partition, by default for 0.5 s.
        fetch_max_wait_ms=20,
    )
    try:
        await consumer.start()
        consumer.assign([tp, *others])
        consumer.pause(*others)
        yield consumer
    finally:
        await consumer.stop()


async def read_range(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the records from offset ``start`` up to, excluding, ``end``, one fetch at a time."""
    consumer.seek(tp, start)
    while await consumer.position(tp) < end:
        for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
            if records := [record for record in batch if record.offset < end]:
                yield records

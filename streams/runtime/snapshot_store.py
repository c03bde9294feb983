"""Snapshots on a compacted topic: pieces, then a manifest that makes them count.

Whoever may write to the topic can write anything there, so nothing read from it is trusted: keys, sizes and manifests
are checked, memory is bounded before it is taken, and with signing keys only what one of them signed counts.
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
from streams.runtime.snapshot_codec import BYTES_MAX, Snapshot, decode, encode
from streams.runtime.topics import client_options

KIND = "snapshot"
PIECE_BYTES = 512 << 10
"""Largest piece that is written or read."""
_FIRST_LOOK = 64
_OVERHEAD_BYTES = 1 << 20
"""By which packed bytes may exceed unpacked ones that do not compress."""
_PIECES_MAX = 1 << 18
_PIECE_OVERHEAD_BYTES = 256
"""Of memory that a held piece takes beside its bytes: many empty ones are no less bounded than few large ones."""
_MANIFEST_BYTES = 4096
_KEY = re.compile(rb"(\d{1,6})/(?:manifest/([01])|([01])/(\d{1,6}))")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The record that makes the pieces of a slot count."""

    offset: int
    slot: int
    pieces: int
    crc: int
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A complete snapshot as it lies in the topic."""

    manifest: Manifest
    cuts: tuple[bytes, ...]
    most: int

    def open(self) -> Snapshot:
        """Unpack it; raise `StateError` if it is none."""
        snapshot = decode(b"".join(self.cuts), self.most)
        if snapshot.offset != self.manifest.offset:
            raise StateError(f"snapshot: of offset {snapshot.offset}, announced as {self.manifest.offset}")
        return snapshot


def pieces(  # noqa: PLR0913, PLR0917 - what a snapshot is, where it goes and what it may take
    snapshot: Snapshot,
    slot: int,
    signer: Signer = UNSIGNED,
    topic: str = "",
    piece_bytes: int = PIECE_BYTES,
    most: int = sys.maxsize,
) -> list[tuple[bytes, bytes]]:
    """Return the records (key, value) of a snapshot, the manifest last.

    Two slots are used in turn, so that a writer killed half-way has not touched the pieces of the snapshot before.

    Raises
    ------
    StateError
        If it would not be restored, as it takes more than ``most`` bytes unpacked.
    """
    raw = encode(snapshot, most)
    name = f"{snapshot.partition}/{slot}"
    cuts = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
    manifest: dict[str, Any] = {"offset": snapshot.offset, "slot": slot, "pieces": len(cuts), "crc": zlib.crc32(raw)}
    if signature := signer.sign(KIND, topic, snapshot.partition, b"%d" % snapshot.offset, raw):
        manifest["signature"] = signature
    records = [(f"{name}/{i}".encode(), piece) for i, piece in enumerate(cuts)]
    return [*records, (f"{snapshot.partition}/manifest/{slot}".encode(), orjson.dumps(manifest))]


class Assembly:
    """Puts together what a partition's records hold, in log order: the last complete snapshot of each slot.

    Parameters
    ----------
    partition
        Of the snapshots.
    most
        Largest snapshot unpacked; the pieces held are at most two of that size.
    signer, topic
        What must have signed them, and for which topic.
    log_end
        Next offset of the log of the events. A snapshot from beyond it is forged, or the log was created again; it
        replaces no other.

    Attributes
    ----------
    complete
        By slot.
    refused
        Why others do not count.
    """

    def __init__(
        self,
        partition: int,
        most: int = BYTES_MAX,
        signer: Signer = UNSIGNED,
        topic: str = "",
        log_end: int = sys.maxsize,
    ) -> None:
        self.complete: dict[int, Stored] = {}
        self.refused: list[StateError] = []
        self._partition, self._most = partition, most
        self._signer, self._topic = signer, topic
        self._log_end = log_end
        self._held: dict[tuple[int, int], bytes] = {}
        self._bytes = 0

    def take(self, record: ConsumerRecord) -> None:
        """Take the next record."""
        found = _KEY.fullmatch(record.key or b"")
        if found is None or int(found[1]) != self._partition:
            return
        if found[2] is None:
            self._piece((int(found[3]), int(found[4])), record.value or b"")
        elif record.value is not None:
            try:
                self._manifest(_manifest(record.value, int(found[2])))
            except StateError as error:
                self.refused.append(error)

    def newest_first(self) -> list[Stored]:
        """Return the complete ones, the highest offset first: it is the latest, whoever wrote last."""
        return sorted(self.complete.values(), key=lambda s: s.manifest.offset, reverse=True)

    def _piece(self, place: tuple[int, int], value: bytes) -> None:
        if (before := self._held.pop(place, None)) is not None:
            self._bytes -= len(before) + _PIECE_OVERHEAD_BYTES
        size = self._bytes + len(value) + _PIECE_OVERHEAD_BYTES
        if len(value) <= PIECE_BYTES and size <= 2 * self._most + _OVERHEAD_BYTES:
            self._held[place], self._bytes = value, size

    def _manifest(self, manifest: Manifest) -> None:
        cuts = tuple(self._held.get((manifest.slot, i), b"") for i in range(manifest.pieces))
        crc = 0
        for cut in cuts:
            crc = zlib.crc32(cut, crc)
        if crc != manifest.crc:
            # Compacted away in favour of a later snapshot in the same slot, or two writers met: a later manifest tells.
            return
        if manifest.offset >= self._log_end:
            raise StateError(
                f"snapshot of offset {manifest.offset}: the log ends at {self._log_end}; forged, or the topic was "
                "created again",
                "offset",
            )
        try:
            offset = b"%d" % manifest.offset
            self._signer.check(manifest.signature, KIND, self._topic, self._partition, offset, b"".join(cuts))
        except SignatureError as error:
            raise StateError(f"snapshot of offset {manifest.offset}: {error}", error.reason) from error
        self.complete[manifest.slot] = Stored(manifest, cuts, self._most)


def _manifest(raw: bytes, slot: int) -> Manifest:
    try:
        given = orjson.loads(raw[: _MANIFEST_BYTES + 1])
        numbers = [given[name] for name in ("offset", "slot", "pieces", "crc")]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StateError(f"snapshot: manifest: {error!r}"[:200]) from error
    signature = given.get("signature")
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers) or not isinstance(signature, str | None):
        raise StateError("snapshot: a manifest whose values are none")
    offset, slot_said, count, crc = numbers
    manifest = Manifest(offset, slot_said, count, crc, signature)
    if manifest.slot != slot or manifest.pieces > _PIECES_MAX:
        raise StateError(f"snapshot: a manifest of slot {manifest.slot} and {manifest.pieces} pieces")
    return manifest


def newest(records: Iterable[ConsumerRecord], partition: int = 0) -> Snapshot | None:
    """Return the latest snapshot that can be read in a partition's records, in log order.

    Raises
    ------
    StateError
        If there are snapshots but none can be read.
    """
    assembly = Assembly(partition)
    for record in records:
        assembly.take(record)
    return _first(assembly)


def _first(assembly: Assembly) -> Snapshot | None:
    refused = list(assembly.refused)
    for stored in assembly.newest_first():
        try:
            return stored.open()
        except StateError as error:
            refused.append(error)
    if refused:
        raise refused[-1]
    return None


async def load(settings: Settings, partition: int) -> Snapshot | None:
    """Read the latest snapshot of a partition from its topic; None if there is none.

    Raises
    ------
    StateError
        If there are snapshots but none can be read.
    """
    refused: StateError | None = None
    async with reader(settings.kafka, TopicPartition(settings.kafka.topic("snapshots"), partition)) as consumer:
        async for assembly in looks(consumer, settings, partition, Signer.of(settings)):
            try:
                if (found := _first(assembly)) is not None:
                    return found
            except StateError as error:
                refused = error
    if refused is not None:
        raise refused
    return None


async def looks(
    consumer: AIOKafkaConsumer, settings: Settings, partition: int, signer: Signer, log_end: int = sys.maxsize
) -> AsyncIterator[Assembly]:
    """Yield what the last few records of a partition hold, then what more of them do, up to all.

    The whole topic is read only where compaction, or somebody who fills it, left nothing of use at its end.
    """
    tp = TopicPartition(settings.kafka.topic("snapshots"), partition)
    begin, end = await bounds(consumer, tp)
    look = _FIRST_LOOK
    while end > begin:
        start = max(begin, end - look)
        assembly = Assembly(partition, settings.worker.snapshot_bytes_max, signer, tp.topic, log_end)
        async for batch in read(consumer, tp, start, end):
            for record in batch:
                assembly.take(record)
        yield assembly
        if start == begin:
            return
        look *= 8


async def bounds(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """Return the first offset that a log holds, and the one after its last."""
    return (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]


@asynccontextmanager
async def reader(kafka: KafkaSettings, tp: TopicPartition, *others: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect a consumer without a group that reads one partition and knows the offsets of others.

    All of them are assigned: aiokafka loads the metadata of assigned topics only, and a question for the offsets of
    another topic waits 0.1 s for it. The others are paused, so no record of them is fetched.
    """
    # "earliest", though every read seeks: a reset to the default, latest, may win over a seek that follows an assign.
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 << 20,
        # A question for offsets waits behind the fetch of an empty partition, by default for 0.5 s.
        fetch_max_wait_ms=20,
    )
    try:
        await consumer.start()
        consumer.assign([tp, *others])
        consumer.pause(*others)
        yield consumer
    finally:
        await consumer.stop()


async def read(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the records from ``start`` to before ``end``, a fetch at a time."""
    consumer.seek(tp, start)
    while await consumer.position(tp) < end:
        for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
            if found := [record for record in batch if record.offset < end]:
                yield found

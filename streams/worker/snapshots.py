"""Snapshots on a compacted topic: pieces, then a manifest that makes them count."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.errors import StateError
from schemas.settings import Kafka
from streams.kafka import client_options
from streams.snapshot import Snapshot, decode, encode

_FIRST_LOOK = 64


def pieces(snapshot: Snapshot, slot: int, piece_bytes: int = 512 << 10) -> list[tuple[bytes, bytes]]:
    """Return the records (key, value) of a snapshot, the manifest last.

    Two slots are used in turn, so that a writer killed half-way has not touched the pieces of the snapshot before.
    """
    raw = encode(snapshot)
    name = f"{snapshot.partition}/{slot}"
    cuts = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
    manifest = {"offset": snapshot.offset, "slot": slot, "pieces": len(cuts), "crc": zlib.crc32(raw)}
    records = [(f"{name}/{i}".encode(), piece) for i, piece in enumerate(cuts)]
    return [*records, (f"{snapshot.partition}/manifest/{slot}".encode(), orjson.dumps(manifest))]


def newest(records: Iterable[ConsumerRecord]) -> Snapshot | None:
    """Return the last complete snapshot in a partition's records, in log order.

    Raises
    ------
    StateError
        If there are snapshots but none can be read.
    """
    held: dict[bytes, bytes] = {}
    found: Snapshot | None = None
    broken: StateError | None = None
    for record in records:
        if b"/manifest/" not in record.key:
            held[record.key] = record.value
            continue
        try:
            found = _assemble(held, record) or found
        except StateError as error:
            broken = error
    if found is None and broken is not None:
        raise broken
    return found


def _assemble(held: dict[bytes, bytes], record: ConsumerRecord) -> Snapshot | None:
    manifest = orjson.loads(record.value)
    prefix = record.key.split(b"/")[0]
    keys = [b"%s/%d/%d" % (prefix, manifest["slot"], i) for i in range(manifest["pieces"])]
    raw = b"".join(held.get(k, b"") for k in keys)
    if zlib.crc32(raw) != manifest["crc"]:
        # Compacted away in favour of a later snapshot in the same slot, or two writers met: a later manifest tells.
        return None
    return decode(raw)


async def load(kafka: Kafka, partition: int) -> Snapshot | None:
    """Read the newest snapshot of a partition from its topic; None if there is none.

    Looks at the last few records first: the whole topic is read only where compaction left little else.
    """
    # "earliest", though every read seeks: a reset to the default, latest, may win over a seek that follows an assign.
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 << 20,
    )
    try:
        await consumer.start()
        tp = TopicPartition(kafka.topic("snapshots"), partition)
        consumer.assign([tp])
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        look = _FIRST_LOOK
        while end > begin:
            start = max(begin, end - look)
            found = newest(await _read(consumer, tp, start, end))
            if found is not None or start == begin:
                return found
            look *= 8
        return None
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> list[ConsumerRecord]:
    consumer.seek(tp, start)
    records: list[ConsumerRecord] = []
    while await consumer.position(tp) < end:
        for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
            records += batch
    return records

"""Record batches as no client library would make them: bombs, broken ones, millions of records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import cramjam
import zstandard
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
_BLOCK = 4 << 20
_NOT_LEADER = 6


def varint(number: int) -> bytes:
    """Return Kafka's zigzag varint."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def record(value: bytes, offset_delta: int = 0, header: bytes | None = None) -> bytes:
    """Return one record as it stands in a batch."""
    body = b"\x00" + varint(0) + varint(offset_delta) + varint(-1) + varint(len(value)) + value
    body += varint(0) if header is None else varint(1) + varint(len(header)) + header + varint(0)
    return varint(len(body)) + body


def batch(packed: bytes, codec: int, records: int = 1) -> bytes:
    """Return a batch of format 2 around packed records."""
    after_crc = struct.pack(">hiqqqhii", codec, records - 1, 1, 1, -1, -1, -1, records) + packed
    crc = calc_crc32c(after_crc)
    return struct.pack(">qiibI", 0, 9 + len(after_crc), -1, 2, crc) + after_crc


def zeros(codec: int, size: int) -> bytes:
    """Return a batch of one record whose value is so many zeros, made without holding them."""
    delta = b"\x00" + varint(0) + varint(0) + varint(1) + b"k" + varint(size)  # compacted topics want a key
    head = varint(len(delta) + size + 1) + delta
    return batch(_PACK[codec](head, size, b"\x00"), codec)


def _stream(head: bytes, size: int, tail: bytes) -> Iterable[bytes]:
    yield head
    block = bytes(_BLOCK)
    for at in range(0, size, _BLOCK):
        yield block[: min(_BLOCK, size - at)]
    yield tail


def _gzip(head: bytes, size: int, tail: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join([packer.compress(part) for part in _stream(head, size, tail)] + [packer.flush()])


def _zstd(head: bytes, size: int, tail: bytes) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return b"".join([packer.compress(part) for part in _stream(head, size, tail)] + [packer.flush()])


def _lz4(head: bytes, size: int, tail: bytes) -> bytes:
    out = [b"\x04\x22\x4d\x18\x60\x70\x73"]  # one frame: Kafka reads no second; independent blocks of 4 MB
    blocks: dict[bytes, bytes] = {}
    for part in _stream(head, size, tail):
        packed = blocks.setdefault(part, bytes(cramjam.lz4.compress_block(part, store_size=False)))
        out.append(struct.pack("<I", len(packed)) + packed)
    return b"".join(out) + bytes(4)


def _snappy(head: bytes, size: int, tail: bytes) -> bytes:
    out = [b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)]
    blocks: dict[bytes, bytes] = {}
    for part in _stream(head, size, tail):
        packed = blocks.setdefault(part, bytes(cramjam.snappy.compress_raw(part)))
        out.append(struct.pack(">i", len(packed)) + packed)
    return b"".join(out)


_PACK: dict[int, Callable[[bytes, int, bytes], bytes]] = {GZIP: _gzip, SNAPPY: _snappy, LZ4: _lz4, ZSTD: _zstd}


async def send(brokers: str, topic: str, partition: int, raw: bytes) -> int:
    """Produce a batch as it stands; return its base offset."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, request_timeout_ms=60_000)
    await producer.start()
    try:
        await producer.partitions_for(topic)
        leader = producer.client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=60_000, topics=[(topic, [(partition, raw)])]
        )
        code = _NOT_LEADER
        while code == _NOT_LEADER:  # of a topic that was made a moment ago
            response: Any = await producer.client.send(leader, request)
            ((_, ((_, code, offset, *_),)),) = response.topics
        assert code == 0, f"the broker refused the batch: error {code}"
        return int(offset)
    finally:
        await producer.stop()

"""Bounded decompression of Kafka record batches, one function per codec.

aiokafka unpacks a whole batch at once and without a bound: 1 MB of gzip on a topic is 1 GB in every consumer.
"""

from __future__ import annotations

import struct
import zlib
from importlib import import_module
from types import ModuleType
from typing import Final

import cramjam
import zstandard
from aiokafka import codec
from aiokafka.record import default_records, legacy_records
from typing_extensions import Buffer

MAX_UNPACKED_BYTES: Final = 32 << 20
"""Of one batch: as many as a batch that is not compressed may have (`streams.runtime.topics.MAX_MESSAGE_BYTES`)."""
_STEP_BYTES: Final = 1 << 20
_MAX_MEMBERS: Final = 64
"""Of a gzip batch; each costs an allocation of 40 kB and may hold nothing. Producers write one."""
_LZ4_FRAME: Final = 0x184D2204
_LZ4_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_LZ4_RATIO: Final = 255
_XERIAL_HEADER: Final = b"\x82SNAPPY\x00"
_XERIAL_START: Final = 16


class UnpackError(Exception):
    """A batch unpacks to more than `MAX_UNPACKED_BYTES`, or is not of its codec."""


def gunzip(payload: Buffer) -> bytes:
    """Unpack gzip of one or several members."""
    rest, out, size = bytes(payload), [], 0
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            step = member.decompress(rest, _STEP_BYTES)
            rest = member.unconsumed_tail
            if not step and not rest and not member.eof:
                raise UnpackError("gzip: the stream ends too early")
            out.append(step)
            size = _bounded("gzip", size + len(step))
        rest = member.unused_data
        if not rest:
            return b"".join(out)
    raise UnpackError(f"gzip: over {_MAX_MEMBERS} members")


def unzstd(payload: Buffer) -> bytes:
    """Unpack zstd frames, whether they state their size or not: the size they state is not trusted."""
    reader = zstandard.ZstdDecompressor().stream_reader(bytes(payload), read_across_frames=True)
    out, size = [], 0
    while step := reader.read(_STEP_BYTES):
        out.append(step)
        size = _bounded("zstd", size + len(step))
    return b"".join(out)


def unsnappy(payload: Buffer) -> bytes:
    """Unpack snappy, raw or in xerial's framing, after adding up the sizes that its blocks state.

    The decoder holds a block to its size.
    """
    raw = bytes(payload)
    blocks = _xerial_blocks(raw) if raw.startswith(_XERIAL_HEADER) else [raw]
    _bounded("snappy", sum(cramjam.snappy.decompress_raw_len(block) for block in blocks))
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def unlz4(payload: Buffer) -> bytes:
    """Unpack LZ4 frames after adding up the most that their blocks can hold.

    The decoder holds a block to the size that its frame states.
    """
    raw = bytes(payload)
    try:
        most = _lz4_most(raw)
    except struct.error as error:
        raise UnpackError("lz4: the frame ends too early") from error
    _bounded("lz4", most)
    return bytes(cramjam.lz4.decompress(raw))


def _bounded(name: str, size: int) -> int:
    if size > MAX_UNPACKED_BYTES:
        raise UnpackError(f"{name}: unpacks to over {MAX_UNPACKED_BYTES} bytes")
    return size


def _xerial_blocks(raw: bytes) -> list[bytes]:
    blocks, at = [], _XERIAL_START
    while at < len(raw):
        if at + 4 > len(raw) or not 0 < (size := int.from_bytes(raw[at : at + 4], "big")) <= len(raw) - at - 4:
            raise UnpackError("snappy: a block of xerial's framing is longer than the batch, or empty")
        blocks.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return blocks


def _lz4_most(raw: bytes) -> int:
    """Return an upper bound of what frames hold, from the heads of their blocks."""
    at, most = 0, 0
    while at < len(raw):
        (magic,) = struct.unpack_from("<I", raw, at)
        if magic in _LZ4_SKIPPABLE:
            at += 8 + struct.unpack_from("<I", raw, at + 4)[0]
        elif magic == _LZ4_FRAME:
            at, held = _lz4_frame(raw, at + 4)
            most += held
        else:
            raise UnpackError("lz4: not a frame")
    return most


def _lz4_frame(raw: bytes, at: int) -> tuple[int, int]:
    """Return where a frame ends and the most that it holds; `at` is behind its magic number."""
    flags, sizes = struct.unpack_from("BB", raw, at)
    block_checksum, content_checksum = flags & 0x10, flags & 0x04
    largest = 1 << (8 + 2 * (sizes >> 4 & 7))  # 4: 64 KiB ... 7: 4 MiB
    at += 3 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    most = 0
    while (size := struct.unpack_from("<I", raw, at)[0]) != 0:
        packed = size & 0x7FFFFFFF
        most += min(largest, packed if size >> 31 else packed * _LZ4_RATIO)
        at += 4 + packed + (4 if block_checksum else 0)
    return at + 4 + (4 if content_checksum else 0), most


DECODERS: Final = {"gzip_decode": gunzip, "snappy_decode": unsnappy, "lz4_decode": unlz4, "zstd_decode": unzstd}
"""By the name that aiokafka has for each."""


def install() -> None:
    """Have aiokafka's readers of record batches, compiled ones too, unpack by the functions of this module."""
    readers: list[ModuleType] = [codec, default_records, legacy_records]
    for name in ("default_records", "legacy_records"):
        try:
            readers.append(import_module(f"aiokafka.record._crecords.{name}"))
        except ImportError:  # no compiled readers on this platform
            continue
    for reader in readers:
        for name, decode in DECODERS.items():
            if hasattr(reader, name):
                setattr(reader, name, decode)

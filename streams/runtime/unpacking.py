"""Bounded decompression of Kafka record batches, one function per codec.

aiokafka decompresses a whole batch at once without a limit: 1 MB of gzip on a topic becomes 1 GB in every consumer.
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
"""Maximum decompressed bytes of a batch, equal to `streams.runtime.topics.MAX_MESSAGE_BYTES`."""
_STEP_BYTES: Final = 1 << 20
_MAX_MEMBERS: Final = 64
"""Maximum members of a gzip batch; each costs an allocation of 40 kB and may be empty. Producers write one member."""
_LZ4_FRAME: Final = 0x184D2204
_LZ4_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_LZ4_RATIO: Final = 255
_XERIAL_HEADER: Final = b"\x82SNAPPY\x00"
_XERIAL_START: Final = 16


class UnpackError(Exception):
    """Refusal of a batch that decompresses to more than `MAX_UNPACKED_BYTES` or is not in the format of its codec."""


def gunzip(payload: Buffer) -> bytes:
    """Decompress gzip with one or more members."""
    rest, out, size = bytes(payload), [], 0
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            step = member.decompress(rest, _STEP_BYTES)
            rest = member.unconsumed_tail
            if not step and not rest and not member.eof:
                raise UnpackError("gzip: truncated stream; publish complete batches")
            out.append(step)
            size = _bounded("gzip", size + len(step))
        rest = member.unused_data
        if not rest:
            return b"".join(out)
    raise UnpackError(f"gzip: over {_MAX_MEMBERS} members; write one member per batch")


def unzstd(payload: Buffer) -> bytes:
    """Decompress zstd frames; a size stated in a frame is optional and not trusted."""
    reader = zstandard.ZstdDecompressor().stream_reader(bytes(payload), read_across_frames=True)
    out, size = [], 0
    while step := reader.read(_STEP_BYTES):
        out.append(step)
        size = _bounded("zstd", size + len(step))
    return b"".join(out)


def unsnappy(payload: Buffer) -> bytes:
    """Decompress snappy, raw or in xerial's framing, after checking the sum of the sizes that its blocks state.

    The decoder enforces the stated size of each block.
    """
    raw = bytes(payload)
    blocks = _xerial_blocks(raw) if raw.startswith(_XERIAL_HEADER) else [raw]
    _bounded("snappy", sum(cramjam.snappy.decompress_raw_len(block) for block in blocks))
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def unlz4(payload: Buffer) -> bytes:
    """Decompress LZ4 frames after checking an upper bound of the size of their blocks.

    The decoder enforces the block size that the frame states.
    """
    raw = bytes(payload)
    try:
        bound = _lz4_bound(raw)
    except struct.error as error:
        raise UnpackError("lz4: truncated frame; publish complete batches") from error
    _bounded("lz4", bound)
    return bytes(cramjam.lz4.decompress(raw))


def _bounded(name: str, size: int) -> int:
    if size > MAX_UNPACKED_BYTES:
        raise UnpackError(f"{name}: decompresses to over {MAX_UNPACKED_BYTES} bytes; publish smaller batches")
    return size


def _xerial_blocks(raw: bytes) -> list[bytes]:
    blocks, i = [], _XERIAL_START
    while i < len(raw):
        if i + 4 > len(raw) or not 0 < (size := int.from_bytes(raw[i : i + 4], "big")) <= len(raw) - i - 4:
            raise UnpackError("snappy: a xerial block is empty or exceeds the batch; publish complete batches")
        blocks.append(raw[i + 4 : i + 4 + size])
        i += 4 + size
    return blocks


def _lz4_bound(raw: bytes) -> int:
    """Return an upper bound of the decompressed size of all frames, from their block headers."""
    i, bound = 0, 0
    while i < len(raw):
        (magic,) = struct.unpack_from("<I", raw, i)
        if magic in _LZ4_SKIPPABLE:
            i += 8 + struct.unpack_from("<I", raw, i + 4)[0]
        elif magic == _LZ4_FRAME:
            i, frame_bound = _lz4_frame(raw, i + 4)
            bound += frame_bound
        else:
            raise UnpackError("lz4: unknown frame type; publish standard LZ4 frames")
    return bound


def _lz4_frame(raw: bytes, i: int) -> tuple[int, int]:
    """Return the end of a frame and an upper bound of its decompressed size; ``i`` is the offset after the magic."""
    flags, sizes = struct.unpack_from("BB", raw, i)
    block_checksum, content_checksum = flags & 0x10, flags & 0x04
    largest = 1 << (8 + 2 * (sizes >> 4 & 7))  # 4: 64 KiB ... 7: 4 MiB
    i += 3 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    bound = 0
    while (size := struct.unpack_from("<I", raw, i)[0]) != 0:
        packed = size & 0x7FFFFFFF
        bound += min(largest, packed if size >> 31 else packed * _LZ4_RATIO)
        i += 4 + packed + (4 if block_checksum else 0)
    return i + 4 + (4 if content_checksum else 0), bound


DECODERS: Final = {"gzip_decode": gunzip, "snappy_decode": unsnappy, "lz4_decode": unlz4, "zstd_decode": unzstd}
"""Decoders, by aiokafka's name."""


def install() -> None:
    """Replace the decompression functions of aiokafka's record batch readers, including the compiled readers."""
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

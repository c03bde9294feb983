"""Decompression of every codec in every form that producers write, and refusal of invalid input."""

from __future__ import annotations

import gzip
import struct
import zlib
from contextlib import suppress
from importlib import import_module

import cramjam
import pytest
import zstandard
from aiokafka import codec
from aiokafka.consumer import fetcher
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime import record_batches, unpacking
from streams.runtime.unpacking import MAX_UNPACKED_BYTES, UnpackError, gunzip, unlz4, unsnappy, unzstd

REFUSED = (UnpackError, zlib.error, zstandard.ZstdError, cramjam.DecompressionError)
TEXT = b"When may I take the tablets, and how many of them? " * 5_000


def xerial(*parts: bytes) -> bytes:
    packed = [bytes(cramjam.snappy.compress_raw(part)) for part in parts]
    head = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    return head + b"".join(struct.pack(">i", len(p)) + p for p in packed)


def zstd_unsized(*parts: bytes) -> bytes:
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return b"".join(packer.compress(part) for part in parts) + packer.flush()


def lz4(data: bytes, *, linked: bool, checksum: bool) -> bytes:
    packer = cramjam.lz4.Compressor(level=1, content_checksum=checksum, block_linked=linked)
    packer.compress(data)
    return bytes(packer.finish())


PACKED = {
    "gzip": (gunzip, gzip.compress(TEXT)),
    "gzip of two members": (gunzip, gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
    "gzip of nothing": (gunzip, gzip.compress(TEXT) + gzip.compress(b"")),
    "zstd": (unzstd, zstandard.compress(TEXT)),
    "zstd that states no size": (unzstd, zstd_unsized(TEXT)),
    "zstd of two frames": (unzstd, zstandard.compress(TEXT[:9]) + zstd_unsized(TEXT[9:])),
    "snappy": (unsnappy, bytes(cramjam.snappy.compress_raw(TEXT))),
    "snappy of xerial": (unsnappy, xerial(TEXT[:32_768], TEXT[32_768:])),
    "lz4": (unlz4, lz4(TEXT, linked=False, checksum=False)),
    "lz4 of linked blocks": (unlz4, lz4(TEXT, linked=True, checksum=True)),
    "lz4 of two frames": (unlz4, lz4(TEXT, linked=False, checksum=True)),
}


@pytest.mark.parametrize("name", PACKED)
def test_batches_of_producers_are_decompressed(name: str) -> None:
    unpack, packed = PACKED[name]
    assert unpack(packed) == TEXT


@pytest.mark.parametrize("name", PACKED)
def test_a_truncated_batch_is_refused(name: str) -> None:
    unpack, packed = PACKED[name]
    if name == "zstd that states no size":
        packed = packed[:-2]
    with pytest.raises(Exception):  # noqa: B017, PT011 - an error of the library or ours refuses the batch
        assert unpack(packed[: len(packed) * 2 // 3]) == TEXT


ZEROS = bytes(MAX_UNPACKED_BYTES // 2 + 1)


@pytest.mark.parametrize(
    ("unpack", "packed"),
    [
        (gunzip, gzip.compress(ZEROS + ZEROS)),
        (gunzip, gzip.compress(ZEROS) * 2),
        (gunzip, gzip.compress(b"") * 100),
        (unzstd, zstandard.compress(ZEROS + ZEROS)),
        (unzstd, zstandard.compress(ZEROS) * 2),
        (unzstd, zstd_unsized(ZEROS, ZEROS)),
        (unsnappy, bytes(cramjam.snappy.compress_raw(ZEROS + ZEROS))),
        (unsnappy, xerial(ZEROS, ZEROS)),
        (unsnappy, b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, -4)),
        (unsnappy, b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, 1 << 30)),
        (unlz4, lz4(ZEROS + ZEROS, linked=False, checksum=False)),
        (unlz4, lz4(ZEROS + ZEROS, linked=True, checksum=False)),
    ],
)  # fmt: skip
def test_a_batch_that_decompresses_to_too_many_bytes_is_refused(unpack: object, packed: bytes) -> None:
    assert callable(unpack)
    with pytest.raises(UnpackError):
        unpack(packed)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_decompressed_within_the_limit(noise: bytes) -> None:
    for unpack in (gunzip, unzstd, unsnappy, unlz4):
        with suppress(*REFUSED):
            assert len(unpack(noise)) <= MAX_UNPACKED_BYTES


def test_every_reader_of_aiokafka_decompresses_within_the_limit() -> None:
    """Compiled readers are covered too; importing `streams.runtime.topics` installs the guard."""
    assert record_batches.GuardedRecords is fetcher.MemoryRecords
    readers = ["default_records", "legacy_records", "_crecords.default_records", "_crecords.legacy_records"]
    for reader in [codec, *(import_module(f"aiokafka.record.{name}") for name in readers)]:
        for name, decode in unpacking.DECODERS.items():
            assert getattr(reader, name, decode) is decode

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RequestError
from streams.ingest.request_body import PIECE_BYTES, Decompressor


def unpack(packed: bytes, cuts: list[int], max_bytes: int) -> bytes:
    decompressor, out = Decompressor(), b""
    edges = [0, *sorted(c % (len(packed) + 1) for c in cuts), len(packed)]
    for start, end in pairwise(edges):
        for piece in decompressor.pieces(packed[start:end]):
            assert 0 < len(piece) <= PIECE_BYTES
            out += piece
            if len(out) > max_bytes:
                return out
    decompressor.end()
    return out


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
def test_members_are_unpacked_from_chunks_of_any_size(members: list[bytes], cuts: list[int]) -> None:
    packed = b"".join(map(gzip.compress, members))
    assert unpack(packed, cuts, 10_000) == b"".join(members)
    assert unpack(zlib.compress(members[0]), cuts, 10_000) == members[0]


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 2000), max_size=6), st.integers(0, 299))
def test_unpacking_stops_at_most_one_piece_after_the_limit(data: bytes, cuts: list[int], max_bytes: int) -> None:
    max_bytes %= len(data)
    assert max_bytes < len(unpack(gzip.compress(data), cuts, max_bytes)) <= max_bytes + PIECE_BYTES


@given(st.binary(max_size=300), st.integers(1, 20))
def test_a_truncated_stream_is_rejected(data: bytes, missing: int) -> None:
    with pytest.raises(RequestError) as raised:
        unpack(gzip.compress(data)[:-missing], [], 10_000)
    assert (raised.value.status, raised.value.reason) == (400, "bad gzip")


@given(st.binary(min_size=1, max_size=100))
def test_invalid_gzip_is_rejected(data: bytes) -> None:
    with pytest.raises(RequestError):
        unpack(b"\x00" + data, [], 10_000)


def test_a_thousand_members_are_rejected() -> None:
    with pytest.raises(RequestError) as raised:
        unpack(gzip.compress(b"") * 1000, [], 10_000)
    assert (raised.value.status, raised.value.reason) == (400, "bad gzip")


def test_a_gzip_bomb_stays_within_the_memory_limit() -> None:
    bomb = gzip.compress(b"0" * (256 << 20), 9)
    tracemalloc.start()
    try:
        assert len(unpack(bomb, [], 1 << 20)) <= (1 << 20) + PIECE_BYTES
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RequestError
from streams.ingest.request_body import PIECE_BYTES, Inflate


def unpack(packed: bytes, cuts: list[int], most: int) -> bytes:
    unpacker, out = Inflate(), b""
    edges = [0, *sorted(c % (len(packed) + 1) for c in cuts), len(packed)]
    for begin, end in pairwise(edges):
        for piece in unpacker.pieces(packed[begin:end]):
            assert 0 < len(piece) <= PIECE_BYTES
            out += piece
            if len(out) > most:
                return out
    unpacker.end()
    return out


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
def test_members_are_unpacked_whatever_the_pieces_they_arrive_in(members: list[bytes], cuts: list[int]) -> None:
    packed = b"".join(map(gzip.compress, members))
    assert unpack(packed, cuts, 10_000) == b"".join(members)
    assert unpack(zlib.compress(members[0]), cuts, 10_000) == members[0]


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 2000), max_size=6), st.integers(0, 299))
def test_nobody_unpacks_more_than_a_piece_too_many(data: bytes, cuts: list[int], most: int) -> None:
    most %= len(data)
    assert most < len(unpack(gzip.compress(data), cuts, most)) <= most + PIECE_BYTES


@given(st.binary(max_size=300), st.integers(1, 20))
def test_a_stream_that_is_cut_is_refused(data: bytes, missing: int) -> None:
    with pytest.raises(RequestError) as raised:
        unpack(gzip.compress(data)[:-missing], [], 10_000)
    assert (raised.value.status, raised.value.reason) == (400, "bad gzip")


@given(st.binary(min_size=1, max_size=100))
def test_what_is_no_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError):
        unpack(b"\x00" + data, [], 10_000)


def test_a_thousand_members_are_refused() -> None:
    with pytest.raises(RequestError) as raised:
        unpack(gzip.compress(b"") * 1000, [], 10_000)
    assert (raised.value.status, raised.value.reason) == (400, "bad gzip")


def test_a_bomb_takes_no_more_memory_than_is_allowed() -> None:
    bomb = gzip.compress(b"0" * (256 << 20), 9)
    tracemalloc.start()
    try:
        assert len(unpack(bomb, [], 1 << 20)) <= (1 << 20) + PIECE_BYTES
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()

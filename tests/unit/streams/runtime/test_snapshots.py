from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StateError
from streams.runtime.snapshot_codec import MAX_BYTES, Snapshot, decode, encode
from streams.runtime.snapshot_store import latest, to_records

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _json, max_size=4))
def test_decoding_inverts_encoding(part: dict[str, Any]) -> None:
    assert decode(encode(Snapshot(1, 2, {"a": 1}, {"a": part}))).parts == {"a": part}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", "U5", "S3", "?"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 0, 4), (2, 3)])
def test_arrays_are_restored_bit_equal_and_writable(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    back = decode(encode(Snapshot(0, 0, {}, {"a": {"x": array}}))).parts["a"]["x"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable


def test_nan_survives() -> None:
    assert math.isnan(decode(encode(Snapshot(0, 0, {}, {"a": {"x": math.nan}}))).parts["a"]["x"])


@pytest.mark.parametrize("damage", [b"", b"junk", b"SGS1" + bytes(30)])
def test_damaged_bytes_are_a_state_error(damage: bytes) -> None:
    with pytest.raises(StateError) as raised:
        decode(damage)
    assert raised.value.reason == "format"


def test_one_flipped_bit_is_detected() -> None:
    raw = bytearray(encode(Snapshot(0, 0, {}, {"a": {"x": 1}})))
    raw[-1] ^= 1
    with pytest.raises(StateError) as raised:
        decode(bytes(raw))
    assert raised.value.code == "checksum"


def _log(*writes: list[tuple[bytes, bytes]]) -> list[ConsumerRecord]:
    flat = [pair for write in writes for pair in write]
    return [ConsumerRecord("s", 0, i, 0, 0, k, v, None, len(k), len(v), ()) for i, (k, v) in enumerate(flat)]


def _snapshot(offset: int, size: int = 10) -> Snapshot:
    noise = np.random.default_rng(offset).integers(0, 255, size, np.uint8)
    return Snapshot(0, offset, {"a": 1}, {"a": {"x": noise}})


def test_a_snapshot_of_many_pieces_is_assembled() -> None:
    found = latest(_log(to_records(_snapshot(5, 2_000_000), 0)))
    assert found is not None
    assert found.parts["a"]["x"].tobytes() == _snapshot(5, 2_000_000).parts["a"]["x"].tobytes()


def test_the_latest_complete_snapshot_is_used() -> None:
    half = to_records(_snapshot(9, 2_000_000), 1)[:-1]
    found = latest(_log(to_records(_snapshot(1), 0), to_records(_snapshot(5), 1), to_records(_snapshot(7), 0), half))
    assert found is not None
    assert found.offset == 7


def test_an_interrupted_write_leaves_the_previous_snapshot_intact() -> None:
    half = to_records(_snapshot(9, 2_000_000), 0)[:2]
    found = latest(_log(to_records(_snapshot(5, 2_000_000), 1), half))
    assert found is not None
    assert found.offset == 5


def test_no_snapshot_is_none() -> None:
    assert latest([]) is None


def test_commas_in_a_text_do_not_count_as_values() -> None:
    """A pending half of a call is a text in the index; one with CSV content made every snapshot unrestorable."""
    snapshot = Snapshot(0, 7, {}, {"join": {"waiting": [["a," * 5_000_000 + '\\"[{', 1]]}})
    assert decode(encode(snapshot, MAX_BYTES), MAX_BYTES).parts == snapshot.parts


def test_a_snapshot_too_large_to_restore_is_not_written() -> None:
    snapshot = Snapshot(0, 7, {}, {"a": {"x": list(range(100_000))}})
    for max_bytes in (1000, 1_000_000):
        with pytest.raises(StateError) as raised:
            encode(snapshot, max_bytes)
        assert raised.value.reason == "size"

"""Mutated snapshots: whatever stands in one, it is restored or refused, never anything else."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import zstandard

from processing.pipeline import PartitionPipeline, Record
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.settings import Settings
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from tests.contract.story import story

_HEAD = struct.Struct("<4sIQ")
MEGABYTE = 1 << 20
PARTS = (
    *("injection", "hallucination", "drift", "guardrail", "campaign"),
    *("aggregates", "alerts", "join", "repeats", "commands", "watermarks"),
)


def records(count: int, first: int = 0) -> list[Record]:
    items = [(item, item.model_dump_json(exclude_unset=True).encode()) for item in story(count, change_at=count // 2)]
    half = {"kind": "request", "choices": ()}
    for n, (item, raw) in enumerate(items[:9]):
        if isinstance(item, LLMEvent):
            items.append((item.model_copy(update=half | {"call_id": f"h{n}"}), raw))
    return [Record(first + n, item, raw) for n, (item, raw) in enumerate(items)]


@pytest.fixture(scope="module")
def warm() -> Snapshot:
    """The state of a pipeline that saw everything: attacks, labels, halves, alerts."""
    pipeline = build_pipeline(0, Settings())
    pipeline.process(records(1500))
    return decode(encode(Snapshot(0, pipeline.offset, {}, pipeline.state())))


def packed(body: bytes, size: int | None = None) -> bytes:
    inner = zstandard.ZstdCompressor(level=1).compress(body)
    return _HEAD.pack(b"SGS1", zlib.crc32(inner), len(body) if size is None else size) + inner


def indexed(index: bytes, buffers: bytes = b"") -> bytes:
    return packed(struct.pack("<Q", len(index)) + index + buffers)


# The codec


def test_flipped_bits_under_a_right_checksum_are_read_or_refused(warm: Snapshot) -> None:
    rng = random.Random(5)
    small = Snapshot(0, 7, {"a": 1}, {"guardrail": warm.parts["guardrail"], "alerts": warm.parts["alerts"]})
    raw = encode(small)
    body = zstandard.ZstdDecompressor().decompress(raw[_HEAD.size :])
    (length,) = struct.unpack_from("<Q", body)
    refused = 0
    for k in range(3000):
        flipped = bytearray(body if k % 2 else raw[_HEAD.size :])
        most = len(flipped) if k % 4 else min(len(flipped), length + 8)
        for _ in range(rng.randrange(1, 4)):
            flipped[rng.randrange(most)] ^= 1 << rng.randrange(8)
        forged = packed(bytes(flipped)) if k % 2 else _HEAD.pack(b"SGS1", zlib.crc32(flipped), len(body)) + flipped
        try:
            assert isinstance(decode(forged), Snapshot)
        except StateError:
            refused += 1
    assert refused > 1000


def forged_sizes() -> Iterator[tuple[str, bytes]]:
    """Snapshots of a few kilobytes that would take gigabytes."""
    writer, body = zstandard.ZstdCompressor(level=1).compressobj(size=2 << 30), []
    zeros = bytes(16 * MEGABYTE)
    body = [writer.compress(zeros) for _ in range(128)]
    inner = b"".join([*body, writer.flush()])
    yield "bomb of 2 GB that says so", _HEAD.pack(b"SGS1", zlib.crc32(inner), 2 << 30) + inner
    yield "bomb of 2 GB that says 100 bytes", _HEAD.pack(b"SGS1", zlib.crc32(inner), 100) + inner
    yield "head that says an exabyte", packed(b"{}", 1 << 60)
    index = b'{"partition":0,"offset":1,"versions":{},"parts":{"$m":[["a",{"$m":[["x",%s]]}]]}}'
    alias = b'{"$nd":[0,"|u1",[8000000]]}'
    yield "one buffer named 500 times", indexed(index % (b"[" + b",".join([alias] * 500) + b"]"), bytes(8_000_000))
    yield "an array larger than the body", indexed(index % b'{"$nd":[0,"<f8",[1000000000000]]}')
    yield "a shape whose product overflows", indexed(index % b'{"$nd":[0,"<f8",[4294967296,4294967296]]}')
    yield "many empty lists", indexed(index % (b"[" + b"[]," * 20_000_000 + b"[]]"))
    yield "nested deeply", indexed(index % (b"[" * 200_000 + b"]" * 200_000))
    yield "a number of a million digits", indexed(index % (b"9" * 1_000_000))


@pytest.mark.parametrize(("what", "raw"), [pytest.param(w, r, id=w) for w, r in forged_sizes()])
def test_sizes_are_checked_before_memory_is_taken(what: str, raw: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(StateError):
            decode(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 * MEGABYTE, what


@pytest.mark.parametrize(
    "value",
    [
        b'{"$nd":[0,"|O",[1]]}',
        b'{"$nd":[0,"<M8[s]",[1]]}',
        b'{"$nd":[0,"<i8",[-1]]}',
        b'{"$nd":[0,"<i8",[true]]}',
        b'{"$nd":[0,"<i8",1]}',
        b'{"$nd":[-8,"<i8",[1]]}',
        b'{"$nd":[0,"i8,(2,3)f4",[1]]}',
        b'{"$nd":["0","<i8",[1]]}',
        b'{"$nd":[0,"<i8"]}',
        b'{"$b":[0,-1]}',
        b'{"$b":[0,1.5]}',
        b'{"$m":[[{"$m":[]},1]]}',
        b'{"$m":[["a",1],["a",2]]}',
        b'{"$m":{}}',
        b'{"$x":1}',
        b"{}",
    ],
)
def test_values_of_another_type_are_refused(value: bytes) -> None:
    index = b'{"partition":0,"offset":1,"versions":{},"parts":{"$m":[["a",{"$m":[["x",%s]]}]]}}' % value
    with pytest.raises(StateError):
        decode(indexed(index, bytes(8)))


@pytest.mark.parametrize(
    "changed",
    [
        {"partition": -1}, {"partition": "0"}, {"partition": True}, {"offset": -1}, {"offset": 1 << 63},
        {"offset": 1.0}, {"offset": None}, {"versions": []}, {"versions": {"a": "1"}}, {"parts": []},
        {"parts": {"$m": [["a", 1]]}}, {"parts": {"$m": [[1, {"$m": []}]]}},
    ],
)  # fmt: skip
def test_the_frame_of_a_snapshot_is_checked(changed: dict[str, Any]) -> None:
    index = {"partition": 0, "offset": 1, "versions": {"a": 1}, "parts": {"$m": []}} | changed
    with pytest.raises(StateError):
        decode(indexed(json.dumps(index).encode()))


# The parts


def values() -> list[Any]:
    return [
        *(None, True, -1, 0, 1, 1 << 62, 1 << 70, -(1 << 70), 1.5, float("nan"), float("inf"), "", "x" * 1000, b"raw"),
        *([], {}, [[]], [["a", "b", "c"]] * 3, {"a": 1}, {1: 2}, list(range(5000)), [None] * 3),
        *(np.zeros(0), np.zeros((2, 3)), np.full(4, -7), np.full(3, np.nan), np.array(["a"]), np.zeros((1, 0, 5))),
    ]


def mutated_array(rng: random.Random, array: np.ndarray[Any, Any]) -> Any:
    kind = rng.randrange(8)
    if kind == 0:
        return array[:-1]
    if kind == 1:
        return np.concatenate([array, array])
    if kind == 2:
        return array.astype(rng.choice(["f8", "f4", "i8", "i4", "u1", "u8"]))
    if kind == 3:
        return array[..., None]
    if kind == 4:
        return array.tolist()
    out = array.copy()
    if out.dtype.kind == "f":
        worst: list[Any] = [np.nan, np.inf, -1e30, 1e30, 0.0, -1.0]
    else:
        info = np.iinfo(out.dtype)
        worst = [info.min, info.max, 0, info.max // 2, 1, 7]
    if kind == 5:
        out[:] = rng.choice(worst)
    elif out.size:
        for _ in range(1 if kind == 6 else 20):
            out.reshape(-1)[rng.randrange(out.size)] = rng.choice(worst)
    return out


def mutated(rng: random.Random, value: Any) -> Any:
    """A value with one thing changed at a random place: a type, a length, a number, a name, the nesting."""
    inner = isinstance(value, Mapping | list) and len(value) and rng.random() < 0.93
    if inner and isinstance(value, Mapping):
        key = rng.choice(list(value))
        if rng.random() < 0.05:
            return {k: v for k, v in value.items() if k != key} | ({"more": 1} if rng.random() < 0.5 else {})
        return {**value, key: mutated(rng, value[key])}
    if inner and isinstance(value, list):
        at = rng.randrange(len(value))
        if rng.random() < 0.1:
            return rng.choice([value[:at], value + value[-1:], value * 50, [value], value[::-1]])
        return [*value[:at], mutated(rng, value[at]), *value[at + 1 :]]
    return _mutated_leaf(rng, value)


def _mutated_leaf(rng: random.Random, value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim and rng.random() < 0.9:
        return mutated_array(rng, value)
    if isinstance(value, int) and rng.random() < 0.4:
        return rng.choice([value + 1, -value - 1, value * 1000, 1 << 63, 1 << 40])
    return rng.choice(values())


def survives(pipeline: PartitionPipeline, fresh: list[Record]) -> bool:
    """Whether a restored pipeline goes on; if it fails it is in the part that was restored, which is then set aside."""
    try:
        pipeline.process(fresh)
    except Exception:  # noqa: BLE001 - the worker's guard (`Engine._distrust`) catches the same
        return False
    rows = [dict(row) for row in pipeline.open_aggregates(force=True)]
    encode(Snapshot(0, pipeline.offset, {}, pipeline.state()))
    assert all(0 <= row["events"] < 1 << 63 for row in rows)
    return True


@pytest.mark.parametrize("part", PARTS)
def test_a_mutated_part_is_restored_or_refused_and_what_is_restored_goes_on(part: str, warm: Snapshot) -> None:
    rng = random.Random(f"mutations of {part}")
    state, fresh = warm.parts[part], records(60, first=warm.offset + 1)
    pipeline = build_pipeline(0, Settings())
    cold = encode(Snapshot(0, 0, {}, {part: pipeline.state()[part]}))
    refused = taken = failed = 0
    for _ in range(500):
        try:
            forged = decode(encode(Snapshot(0, warm.offset, {}, {part: mutated(rng, state)})))
        except (StateError, TypeError, ValueError, OverflowError):
            refused += 1  # no such snapshot can be written, or it is none
            continue
        if part in pipeline.restore(forged.parts, warm.offset):
            refused += 1
            assert encode(Snapshot(0, 0, {}, {part: pipeline.state()[part]})) == cold
            continue
        taken += 1
        failed += not survives(pipeline, fresh)
        assert pipeline.active_component in {part, "alerts"}
        pipeline = build_pipeline(0, Settings())
    assert refused > 50
    # Most of what passes goes on; what does not is caught when it fails.
    assert failed <= 0.1 * (taken + 10), (taken, failed)


def test_the_unchanged_state_is_restored_whole(warm: Snapshot) -> None:
    """Else the tests above would prove little."""
    pipeline = build_pipeline(0, Settings())
    assert pipeline.restore(warm.parts, warm.offset) == []
    assert encode(Snapshot(0, 0, {}, pipeline.state())) == encode(Snapshot(0, 0, {}, warm.parts))
    assert set(warm.parts) == set(PARTS)
    assert any(isinstance(record.item, Feedback) for record in records(60))
    assert any(isinstance(r.item, LLMEvent) and r.item.kind == "request" for r in records(60))

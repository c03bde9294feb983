"""Bodies that no sender should send, made of real ones: seeded, so that a finding can be had again by its number."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import orjson

Mutation: TypeAlias = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
_NASTY: Sequence[Any] = (
    None, True, -1, 0, 2**63, -(2**63), 2**64 - 1, 1e308, "NaN", "-Infinity", "", "\x00", "9" * 400, "\u202e" * 50,
    [], {}, [[]], {"": {}}, [None] * 50, "[" * 300, '{"a":' * 300, "-0", "1e999", "gen_ai.", "🎉" * 2000,
)  # fmt: skip


def mutated(number: int, bodies: Sequence[bytes]) -> bytes:
    """The ``number``th body: a real one, changed one to three times."""
    rng = random.Random(number)
    raw = rng.choice(bodies)
    kinds = _OF_JSON if raw[:1] == b"{" else _OF_BYTES
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw = rng.choice(kinds)(rng, raw, bodies)
    return raw


def bombs(size: int = 16 << 20) -> dict[str, bytes]:
    """Bodies of the most that is read, of what is smallest on the wire, by name."""

    def many(piece: bytes, *tags: int, room: int = size, head: bytes = b"") -> bytes:
        raw = head + piece * ((room - 200) // len(piece))
        for tag in reversed(tags):
            raw = _field(tag, raw)
        return raw

    small, span = 4 << 20, (0x0A, 0x12, 0x12)  # what one span may have, and where it stands
    named = _field(0x4A, _field(0x0A, b"gen_ai.x"))
    elements = _field(0x0A, b"gen_ai.x") + _field(0x12, many(b"\x0a\x00", 0x2A, room=small))
    return {
        "empty resources": many(b"\x0a\x00"),
        "empty scopes": many(b"\x12\x00", 0x0A),
        "empty spans": many(b"\x12\x00", 0x0A, 0x12),
        "unknown fields": many(b"\x78\x01"),
        "empty attributes": many(b"\x4a\x00", *span, room=small, head=named),
        "empty events": many(b"\x5a\x00", *span, room=small, head=named),
        "empty elements": many(_field(0x4A, elements), *span, room=len(elements) + 300),
        "JSON objects": b'{"resourceSpans":[' + b"{}," * (size // 3 - 8) + b"{}]}",
        "JSON arrays": b'{"resourceSpans":[' + b"[]," * (size // 3 - 8) + b"[]]}",
        "JSON numbers": b'{"resourceSpans":[' + b"0," * (size // 2 - 16) + b"0]}",
        "JSON nesting": b'{"resourceSpans":' + b"[" * (size // 2) + b"]" * (size // 2 - 32) + b"}",
        "JSON keys": b'{"resourceSpans":[{"a":' + b'{"a":' * 900 + b"0" + b"}" * 900 + b"}]}",
    }


def _flip(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    out = bytearray(raw)
    for _flipped in range(rng.choice((1, 1, 4, 32))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _cut(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _lose(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    begin = rng.randrange(len(raw) + 1)
    return raw[:begin] + raw[begin + rng.choice((1, 2, 8, 500)) :]


def _insert(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.randbytes(rng.choice((1, 2, 8, 200))) + raw[at:]


def _repeat(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """A piece many times over: huge counts, duplicate attributes."""
    begin = rng.randrange(len(raw) + 1)
    piece = raw[begin : begin + rng.choice((1, 2, 16, 300))]
    return raw[:begin] + piece * rng.choice((2, 10, 300)) + raw[begin:]


def _splice(rng: random.Random, raw: bytes, bodies: Sequence[bytes]) -> bytes:
    other = rng.choice(bodies)
    return raw[: rng.randrange(len(raw) + 1)] + other[rng.randrange(len(other) + 1) :]


def _spoil_text(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    at = raw.find(b"gen_ai", rng.randrange(len(raw) + 1))
    bad = rng.choice((b"\xff\xfe\x80", b"\xc3\x28\xa0", b"\xed\xa0\x80"))
    return raw if at < 0 else raw[:at] + bad + raw[at + 3 :]


def _nest_wire(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """An attribute whose value is arrays within arrays, in a span of its own."""
    value = b"\x0a\x01x"
    for _level in range(rng.choice((3, 30, 60, 200))):
        inner = _field(0x0A, value)
        value = _field(0x2A, inner)
    attribute = _field(0x0A, b"gen_ai.input.messages") + _field(0x12, value)
    span = _field(0x0A, b"t" * 16) + _field(0x12, b"s" * 8) + _field(0x4A, attribute)
    return raw + _field(0x0A, _field(0x12, _field(0x12, span)))


def _field(tag: int, payload: bytes) -> bytes:
    size, length = b"", len(payload)
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([tag]) + size + bytes([length]) + payload


def _replace_node(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    """Another value of another type somewhere in the tree."""
    try:
        tree = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    place = tree
    while isinstance(place, dict | list) and place:
        key: Any = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        child = place[key]
        if not isinstance(child, dict | list) or not child or rng.random() < 0.15:
            place[key] = rng.choice(_NASTY)
            break
        place = child
    try:
        return orjson.dumps(tree)
    except TypeError:
        return raw


def _nest_json(rng: random.Random, raw: bytes, _: Sequence[bytes]) -> bytes:
    depth = rng.choice((3, 40, 400, 3000))
    opened, closed = rng.choice(
        (
            (b'{"arrayValue":{"values":[', b"]}}"),
            (b"[", b"]"),
            (b'{"kvlistValue":{"values":[{"key":"a","value":', b"}]}}"),
        )
    )
    bomb = opened * depth + b'{"stringValue":"x"}' + closed * depth
    at = raw.find(b'{"stringValue"', rng.randrange(len(raw) + 1))
    return raw if at < 0 else raw[:at] + bomb + raw[raw.find(b"}", at) + 1 :]


_OF_BYTES: Sequence[Mutation] = (_flip, _cut, _lose, _insert, _repeat, _splice, _spoil_text, _nest_wire)
_OF_JSON: Sequence[Mutation] = (
    *(_flip, _cut, _lose, _insert, _repeat, _splice, _spoil_text, _nest_json),
    *(_replace_node,) * 8,
)

"""Broken request bodies without end, each by its number: good ones, changed by one or several of many mutations."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson

from tests import collector
from tests.traffic import lines

NDJSON, JSON, PROTOBUF = "application/x-ndjson", "application/json", "application/x-protobuf"
_STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 2**64, -(2**63), 1e308, -0.0, 5e-324, "", "\x00", "\u202e", "NaN", "a" * 5000),
    *([], {}, [[]], [None], {"": ""}, {"a": {"b": []}}, "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "\ufeff"),
)
_NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"0x10", b"01", b"1.", b"+1")
_BYTES = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\x00", b"\xef\xbb\xbf", b"\\x", b'"', b"\n")


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@dataclass(frozen=True, slots=True)
class Request:
    """What is posted."""

    path: str
    body: bytes
    content_type: str
    encoding: str = "identity"


@cache
def _events() -> list[bytes]:
    return lines(200, seed=3)


@cache
def _labels() -> list[bytes]:
    base = {"time": "2026-01-01T00:00:00Z", "tenant": "acme", "app": "app1", "signal": "injection", "label": True}
    return [orjson.dumps(base | {"feedback_id": f"f{i}", "call_id": f"c{i}"}) for i in range(50)]


def request(number: int) -> Request:
    """Return the request of a number; the same each time."""
    rng = random.Random(number)
    made = rng.choice((_native, _native, _native, _native, _telemetry))(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        made = rng.choice(_MUTATIONS)(rng, made)
    return made


def _native(rng: random.Random) -> Request:
    path, pool = rng.choice((("/v1/events", _events()), ("/v1/events", _events()), ("/v1/feedback", _labels())))
    some = rng.sample(pool, rng.choice((1, 1, 2, 5, 20)))
    if rng.random() < 0.5:
        return Request(path, b"\n".join(some), NDJSON)
    return Request(path, b"[" + b",".join(some) + b"]", JSON)


def _telemetry(rng: random.Random) -> Request:
    number = rng.randrange(1_000_000)
    if rng.random() < 0.3:
        path, said = "/v1/logs", collector.evaluation(number, rng.choice(("pass", "fail", "")))
    else:
        path, said = "/v1/traces", collector.spans(number, number + 1)
    if rng.random() < 0.5:
        return Request(path, collector.as_proto(said), PROTOBUF)
    return Request(path, collector.as_json(said), JSON)


def _flip(rng: random.Random, made: Request) -> Request:
    body = bytearray(made.body)
    for _ in range(rng.choice((1, 1, 3, 30)) if body else 0):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return replace(made, body=bytes(body))


def _cut(rng: random.Random, made: Request) -> Request:
    at = rng.randrange(len(made.body) + 1)
    return replace(made, body=rng.choice((made.body[:at], made.body[at:])))


def _insert(rng: random.Random, made: Request) -> Request:
    at = rng.randrange(len(made.body) + 1)
    what = rng.choice((*_BYTES, *_NUMBERS, rng.randbytes(rng.choice((1, 8, 300)))))
    return replace(made, body=made.body[:at] + what + made.body[at:])


def _repeat(rng: random.Random, made: Request) -> Request:
    begin, end = sorted(rng.randrange(len(made.body) + 1) for _ in range(2))
    return replace(made, body=made.body[:end] + made.body[begin:end] * rng.choice((1, 2, 20)) + made.body[end:])


def _strange_value(rng: random.Random, made: Request) -> Request:
    """Put a value of another type, or a number that JSON has not, into some field of the first object that there is."""
    first, *rest = made.body.split(b"\n", 1)
    try:
        value = orjson.loads(first)
    except orjson.JSONDecodeError:
        return made
    holder = value
    while isinstance(holder, list | dict) and holder:
        key = rng.choice(range(len(holder)) if isinstance(holder, list) else list(holder))
        inner = holder[key]
        if not isinstance(inner, list | dict) or not inner or rng.random() < 0.4:
            holder[key] = "@@" if rng.random() < 0.4 else rng.choice(_STRANGE)
            break
        holder = inner
    body = json.dumps(value).encode("utf-8", "replace").replace(b'"@@"', rng.choice(_NUMBERS))
    return replace(made, body=b"\n".join([body, *rest]))


def _deep(rng: random.Random, made: Request) -> Request:
    depth = rng.choice((100, 199, 300, 5_000, 60_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    deep = opening * depth + b"1" + closing * (depth if rng.random() < 0.8 else 0)
    if rng.random() < 0.5 or b"{" not in made.body:
        return replace(made, body=deep)
    at = made.body.index(b"{") + 1
    return replace(made, body=made.body[:at] + b'"deep":' + deep + b"," + made.body[at:])


def _wide(rng: random.Random, made: Request) -> Request:
    piece = rng.choice((b"[],", b"{},", b"1,", b'"",', b'{"a":1},', b'"a":1,', b"\n", b" ", b"x\n", b'"\\"', b"\\"))
    wide = piece * rng.choice((10, 1_000, 60_000))
    if rng.random() < 0.5 or b"{" not in made.body:
        return replace(made, body=b"[" + wide + b"1]")
    at = made.body.index(b"{") + 1
    return replace(made, body=made.body[:at] + b'"wide":[' + wide + b"1]," + made.body[at:])


def _packed(rng: random.Random, made: Request) -> Request:
    pack: Callable[[bytes], bytes] = rng.choice((_gzip, zlib.compress))
    packed = pack(made.body)
    broken = rng.random()
    if broken < 0.2:
        packed = packed[: rng.randrange(len(packed))]
    elif broken < 0.4:
        packed = _flip(rng, replace(made, body=packed)).body
    elif broken < 0.5:
        packed *= rng.choice((2, 70))
    elif broken < 0.6:
        packed = _gzip(packed)
    encoding = rng.choice(("gzip", "gzip", "gzip", "deflate", "x-gzip", "br", "identity", "gzip, gzip", ""))
    return replace(made, body=packed, encoding=encoding)


@cache
def _bomb(unit: bytes) -> bytes:
    return _gzip(unit * ((64 << 20) // len(unit)))


def _bombed(rng: random.Random, made: Request) -> Request:
    bomb = _bomb(rng.choice((b"0", b"[", b"\n", b'{"a":', b"{},", b" ")))
    return replace(made, body=bomb if rng.random() < 0.8 else _gzip(bomb), encoding="gzip")


def _mistyped(rng: random.Random, made: Request) -> Request:
    types = (NDJSON, JSON, PROTOBUF, "text/plain", "application/json; charset=utf-16", "", "a", "application/jsonl")
    return replace(made, content_type=rng.choice(types))


def _other_text(rng: random.Random, made: Request) -> Request:
    text = made.body.decode("utf-8", "replace")
    return replace(made, body=text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7"))))


_MUTATIONS = (
    *(_flip, _cut, _insert, _insert, _repeat, _strange_value, _strange_value, _strange_value),
    *(_deep, _wide, _packed, _packed, _bombed, _mistyped, _other_text),
)

"""Malformed records; each must become a dead letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

_CORRUPTIONS: tuple[Callable[[dict[str, Any], bytes], bytes | None], ...] = (
    lambda _, raw: raw[: len(raw) // 2],
    lambda _, raw: raw.replace(b'"app"', b'"app\xff"', 1),
    lambda *_: b"service restarted",
    lambda *_: b"[]",
    lambda *_: None,
    lambda call, _: orjson.dumps({k: v for k, v in call.items() if k != "tenant"}),
    lambda call, _: orjson.dumps(call | {"time": "yesterday"}),
    lambda call, _: orjson.dumps(call | {"time": "2026-01-01T10:00:00"}),
    lambda call, _: orjson.dumps(call | {"usage": {"input_tokens": -1}}),
    lambda call, _: orjson.dumps(call | {"latency_ms": "fast"}),
    lambda call, _: orjson.dumps(call | {"messages": [{"role": "robot", "content": "hi"}]}),
    lambda call, _: orjson.dumps(call | {"schema_version": 99}),
    lambda call, _: orjson.dumps(call | {"kind": "request", "choices": [{"content": "hi"}]}),
)

KINDS = len(_CORRUPTIONS)


def corrupt(call: dict[str, Any], kind: int) -> bytes | None:
    """Return the record of a call with the given kind of defect."""
    return _CORRUPTIONS[kind % KINDS](call, orjson.dumps(call))

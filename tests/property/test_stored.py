"""Whatever the contract takes is stored: an event that was judged, and raised alerts, is missing in no table."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from schemas.errors import RecordError
from schemas.event import LLMEvent
from streams.runtime.decode import decode_event
from streams.sink.table_rows import TABLES, build_row

SCORED = next(table for table in TABLES if table.topic == "scored")
EVENT: dict[str, Any] = {
    "event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a", "kind": "call",
    "schema_version": 1, "environment": "x", "conversation_id": "x", "user_id": "x", "prompt_name": "x",
    "prompt_version": "x", "provider": "x", "request_model": "x", "response_model": "x", "system_fingerprint": "x",
    "parameters": {"t": 1}, "messages": [{"role": "user", "content": "x"}], "documents": [{"text": "x", "score": 0.5}],
    "choices": [{"content": "x", "finish_reason": "stop", "logprobs": [-1.0]}],
    "usage": {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 1, "reasoning_tokens": 1},
    "cost_usd": 0.1, "latency_ms": 1, "ttft_ms": 1, "error": {"type": "x", "message": "x", "status": 1},
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 40.0, 1.5, 1e300, "", "x", "1", "40.0", " 1 ", "1_000", [], {},
    1767225600, 1767225600000, 1767225600.5, "1767225600", "1751010100000", "2026-01-01 00:00:00Z", "2026-01-01T00:00Z",
    "2026-01-01t00:00:00z", "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00-00:00", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01_00:00:00Z", "2026-01-01",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("path", list(places(EVENT)), ids=lambda path: ".".join(map(str, path)))
def test_what_is_judged_is_stored(path: tuple[Any, ...]) -> None:
    for value in VALUES:
        event = copy.deepcopy(EVENT)
        home: Any = event
        for key in path[:-1]:
            home = home[key]
        home[path[-1]] = value
        try:
            judged = decode_event(orjson.dumps(event))
        except RecordError:
            continue
        assert isinstance(judged, LLMEvent)
        row = orjson.dumps({"event": event, "signals": {}, "source_partition": 0, "source_offset": 0})
        stored = dict(zip(SCORED.columns, build_row(SCORED, row, 1).row, strict=True))
        assert stored["time"] == int(judged.time.timestamp() * 1000), value
        usage = judged.usage
        assert stored["input_tokens"] == (usage.input_tokens if usage else 0), value
        assert stored["latency_ms"] == judged.latency_ms, value
        assert stored["cost_usd"] == judged.cost_usd, value

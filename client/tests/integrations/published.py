"""What a test expects of published events, and of the host's side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from servers.local import Server
from streamgauge.testing import Recorder

CHANCE = ("event_id", "call_id", "time", "latency_ms", "ttft_ms")
SAME_EVERYWHERE: dict[str, Any] = {
    "kind": "call",
    "schema_version": 1,
    "tenant": "clinic",
    "app": "triage",
    "environment": "production",
    "prompt_name": "triage",
    "prompt_version": "v7",
    "conversation_id": "c-1",
    "user_id": "u-9",
    "documents": [],
    "groups": {},
    "tags": {},
    "system_fingerprint": None,
}
PROMPT: dict[str, Any] = {"version": "v7", "conversation_id": "c-1", "user_id": "u-9"}


def only(published: Recorder) -> dict[str, Any]:
    """Return the one event that was published."""
    (event,) = published.events
    return event


def bare(event: dict[str, Any], *, streamed: bool = False) -> dict[str, Any]:
    """Return an event without ids and times, after seeing that they are right."""
    assert len(event["event_id"]) == len(event["call_id"]) == 32
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert 0 < event["latency_ms"] < 60_000
    if streamed:
        assert 0 < event["ttft_ms"] <= event["latency_ms"]
    else:
        assert event["ttft_ms"] is None
    return {name: value for name, value in event.items() if name not in CHANCE}


def whole(**fields: Any) -> dict[str, Any]:
    """Return a complete event, as `bare` leaves it."""
    return SAME_EVERYWHERE | fields


def outcome(use: Callable[[], Any]) -> Any:
    """Return what a call gives its host: its result, or the type and text of what it raised."""
    try:
        return use()
    except Exception as error:  # noqa: BLE001 - whatever it is, the host gets it
        return type(error), str(error)


def sent(server: Server, volatile: tuple[str, ...] = ("host", "idempotency-key")) -> list[Any]:
    """Return what the server was sent, without what differs from one request to the next."""
    return [
        (one.method, one.path, {k: v for k, v in one.headers.items() if k not in volatile}, one.body)
        for one in server.requests
    ]


def break_ours(monkeypatch: pytest.MonkeyPatch, home: Any, name: str) -> list[tuple[Any, ...]]:
    """Make one of our functions raise whenever it is called; return the list of its calls, which grows."""
    hit: list[tuple[Any, ...]] = []

    def broken(*args: Any, **kwargs: Any) -> Any:
        hit.append(args)
        raise ZeroDivisionError

    monkeypatch.setattr(home, name, broken)
    return hit

"""Expectations about published events and about the host's side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from servers.local import Server
from streamgauge.testing import Recorder

RANDOM_FIELDS = ("event_id", "call_id", "time", "latency_ms", "ttft_ms")
COMMON_FIELDS: dict[str, Any] = {
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


def only(recorder: Recorder) -> dict[str, Any]:
    """Return the only published event."""
    (event,) = recorder.events
    return event


def bare(event: dict[str, Any], *, streamed: bool = False) -> dict[str, Any]:
    """Return an event without ids and times, after checking them."""
    assert len(event["event_id"]) == len(event["call_id"]) == 32
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert 0 < event["latency_ms"] < 60_000
    if streamed:
        assert 0 < event["ttft_ms"] <= event["latency_ms"]
    else:
        assert event["ttft_ms"] is None
    return {name: value for name, value in event.items() if name not in RANDOM_FIELDS}


def whole(**fields: Any) -> dict[str, Any]:
    """Return a complete event, as `bare` returns it."""
    return COMMON_FIELDS | fields


def outcome(use: Callable[[], Any]) -> Any:
    """Return what the host sees of a call: its result, or the type and text of its exception."""
    try:
        return use()
    except Exception as error:  # noqa: BLE001 - the host gets any exception
        return type(error), str(error)


def sent(server: Server, volatile: tuple[str, ...] = ("host", "idempotency-key")) -> list[Any]:
    """Return the requests of a server, without the headers that differ between requests."""
    return [
        (request.method, request.path, {k: v for k, v in request.headers.items() if k not in volatile}, request.body)
        for request in server.requests
    ]


def break_internal(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """Make a function of the client raise whenever it is called; return the growing list of its calls."""
    calls: list[tuple[Any, ...]] = []

    def broken(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        raise ZeroDivisionError

    monkeypatch.setattr(owner, name, broken)
    return calls

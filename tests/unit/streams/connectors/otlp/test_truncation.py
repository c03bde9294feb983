"""Events are truncated to the size of a record, and marked."""

from __future__ import annotations

import orjson
import pytest

from streams.connectors.otlp.event_builder import emit_event
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.request_limits import MAX_BODY_BYTES, MAX_EVENTS_BYTES
from streams.connectors.otlp.resource_scope import Source
from streams.connectors.otlp.truncation import serialise
from streams.runtime.decode import decode_event

IDENTITY = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}


def asked(*texts: str) -> dict[str, object]:
    return IDENTITY | {"messages": [{"role": "user", "content": text} for text in texts]}


def test_a_small_event_is_unchanged() -> None:
    event = asked("a\x01b", "x" * 1_000_000)
    assert serialise(event) == orjson.dumps(event)


@pytest.mark.parametrize(
    ("texts", "issues"),
    [
        (("\x00" * 4_000_000,), ("control_characters",)),
        (("\n\t" * 4_500_000, "\x1f" * 100_000), ("control_characters", "event_truncated")),
        (("x" * 9_000_000, '"' * 4_500_000), ("event_truncated",)),
        (tuple("y" * 20_000 for _ in range(1_000)), ("event_truncated",)),
    ],
    ids=["control characters", "escapes", "long texts", "many texts"],
)
def test_a_large_event_is_truncated_and_marked(texts: tuple[str, ...], issues: tuple[str, ...]) -> None:
    raw = serialise(asked(*(text + "the end" for text in texts)))
    assert len(raw) <= MAX_BODY_BYTES
    event = decode_event(raw)
    assert event.input_issues == issues  # type: ignore[union-attr]  # it is an event
    assert event.text("user").endswith("the end")  # type: ignore[union-attr]


def test_the_events_of_a_request_are_limited() -> None:
    """Each call of a trace includes the documents retrieved in the trace: here 12 MB a thousand times."""
    out = Normalised()
    event = asked("x" * 12_000_000)
    for _ in range(1_000):
        emit_event(event, Source("t", "a", "production", b"t/a"), "span", out)
    assert sum(len(value) for _, value in out.events) < MAX_EVENTS_BYTES + MAX_BODY_BYTES
    assert out.rejected == 1_000 - len(out.events)

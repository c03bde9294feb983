"""All that the client sends is what the monitor accepts: real bytes, whatever the service gave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamgauge import Alert, vocabulary
from streamgauge.alerts import read_alert
from streamgauge.calls import Call
from streamgauge.encoding import encode
from streamgauge.feedback import send_feedback
from streamgauge.serialization import EventSerializer
from streamgauge.settings import ContentMode, read_settings
from streamgauge.testing import Recorder

from schemas import outputs
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.runtime.decode import decode_event
from streams.runtime.partitioning import event_key

MODES = get_args(ContentMode)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.sampled_from(["\ud800", "2026-01-01T00:00:00Z", "2026-01-01", "tool", "stop", "jane@example.org"])
    | st.dates()
    | st.datetimes()
    | st.builds(object)
)
INSIDE = (
    "role content tool_calls function name arguments id text score source message logprobs finish_reason type status"
    " input_tokens verdict mode categories provider own"
)
NAMES = st.sampled_from([*LLMEvent.model_fields, *Feedback.model_fields, *INSIDE.split()])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES | st.text(max_size=5) | st.integers(), inner, max_size=6)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=25,
)
EVENTS = st.dictionaries(NAMES, ANYTHING, max_size=12)
BEGIN = {"provider", "request_model", "messages", "parameters", "documents"}
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sent(event: Mapping[str, Any], **given_: Any) -> tuple[str, bytes, bytes]:
    serializer = EventSerializer(read_settings({"url": "memory://x", "tenant": "clinic", "app": "triage"} | given_))
    raw, _ = encode(event)
    return serializer.serialize(raw)


def accepted(value: bytes) -> LLMEvent:
    item = decode_event(value)
    assert isinstance(item, LLMEvent)
    return item


@pytest.mark.parametrize("mode", MODES)
@patient
@given(event=EVENTS)
def test_whatever_is_published_is_an_event(event: dict[str, Any], mode: ContentMode) -> None:
    event.pop("kind", None)
    _, key, value = sent(event, content=mode, max_field_chars=200)
    assert event_key(accepted(value)) == key


@patient
@given(kind=st.sampled_from(["call", "request", "response", "fragment", "other", 5, None, []]), event=EVENTS)
def test_so_are_halves_and_parts(kind: Any, event: dict[str, Any]) -> None:
    _, _, value = sent(event | {"kind": kind})
    assert accepted(value).kind in {"call", "request", "response", "fragment"}


@patient
@given(event=EVENTS, more=EVENTS, context=EVENTS)
def test_so_is_what_becomes_of_a_call(event: dict[str, Any], more: dict[str, Any], context: dict[str, Any]) -> None:
    event = {"provider": "p"} | {name: event[name] for name in event.keys() & BEGIN}
    call = Call.start(None, **event, **{name: context[name] for name in context.keys() - BEGIN})
    call.extra.update(more)
    made = call.event()
    made.pop("kind")
    _, _, value = sent(made)
    assert accepted(value).kind == "call"


@pytest.mark.parametrize("mode", MODES)
@patient
@given(text=st.text(max_size=5_000), count=st.integers(0, 30))
def test_so_is_what_had_to_be_shortened(text: str, count: int, mode: ContentMode) -> None:
    event = {"messages": [{"role": "user", "content": text * 10}] * count, "choices": [{"content": text}], "own": text}
    _, _, value = sent(event, content=mode, max_field_chars=300, max_event_bytes=10_000)
    assert len(value) <= 10_000
    accepted(value)


@patient
@given(
    signal=st.sampled_from(get_args(vocabulary.Signal)),
    label=st.booleans(),
    source=st.sampled_from(get_args(vocabulary.Source)),
    conversation_id=st.none() | st.text(max_size=300),
    comment=st.text(max_size=50),
    call_id=st.sampled_from(["c", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]),
)
def test_a_label_is_a_feedback_under_the_key_of_its_event(**label: Any) -> None:
    publisher = Recorder(tenant="clinic", app="triage", content="redacted")
    publisher.publish({"call_id": label["call_id"], "conversation_id": label["conversation_id"]})
    assert send_feedback(publisher=publisher, **label)
    event, feedback = accepted(orjson.dumps(publisher.events[0])), Feedback.model_validate(publisher.feedback[0])
    publisher.close()
    assert event_key(event) == event_key(feedback)
    _, key, value = sent(label | {"kind": "feedback"})
    assert event_key(Feedback.model_validate_json(value)) == key


def test_the_words_are_those_of_the_contracts() -> None:
    for literal, model, field in (
        (vocabulary.Signal, Feedback, "signal"),
        (vocabulary.Source, Feedback, "source"),
        (vocabulary.Severity, outputs.Alert, "severity"),
        (vocabulary.State, outputs.Alert, "state"),
    ):
        assert get_args(literal) == get_args(model.model_fields[field].annotation), field


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.integers(86_400 * 366, 86_400 * 83_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
ALERTS = st.builds(
    outputs.Alert,
    value=FINITE,
    threshold=FINITE,
    started_at=TIMES,
    changed_at=TIMES,
    change_started_at=st.none() | TIMES,
    details=st.dictionaries(st.text(), st.integers(-(2**63), 2**63) | st.text()),
)


@patient
@given(ALERTS)
def test_an_alert_of_the_monitor_is_read_as_it_was_written(written: outputs.Alert) -> None:
    read = read_alert(written.model_dump_json().encode())
    for field in outputs.Alert.model_fields:
        assert getattr(read, field) == getattr(written, field), field


def test_an_alert_has_the_fields_of_the_contract() -> None:
    assert set(Alert.__dataclass_fields__) - {"extra"} == set(outputs.Alert.model_fields)

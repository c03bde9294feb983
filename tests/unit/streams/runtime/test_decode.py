from __future__ import annotations

import orjson
import pytest

from schemas.errors import ContractError, DecodeError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.runtime.decode import FEEDBACK_HEADER, decode_event

GOOD = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}


def test_an_event_is_decoded_and_keeps_unknown_fields() -> None:
    event = decode_event(orjson.dumps(GOOD | {"novel": {"x": 1}}))
    assert isinstance(event, LLMEvent)
    assert event.model_extra == {"novel": {"x": 1}}


def test_a_label_is_recognised_by_its_header() -> None:
    label = {"feedback_id": "f", "call_id": "c", "time": GOOD["time"], "tenant": "t", "app": "a"}
    raw = orjson.dumps(label | {"signal": "injection", "label": True})
    assert isinstance(decode_event(raw, [FEEDBACK_HEADER]), Feedback)


@pytest.mark.parametrize("raw", [None, b"", b"{", b"\xff\xfe", b'{"a": 1', b'{"a": "\xff"}'])
def test_invalid_json_is_a_decode_error(raw: bytes | None) -> None:
    with pytest.raises(DecodeError):
        decode_event(raw)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_outside_json_is_a_decode_error(number: bytes) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_event(orjson.dumps(GOOD)[:-1] + b',"novel":' + number + b"}")
    assert raised.value.code == "syntax"


@pytest.mark.parametrize(
    ("member", "path"),
    [
        (b'"parameters": {"temperature": 1e999}', "parameters.temperature"),
        (b'"parameters": {"stop": [1.0, {"at": -1e999}]}', "parameters.stop.1.at"),
        (b'"novel": 1' + b"0" * 400 + b".0", "novel"),
        (b'"messages": [{"role": "user", "content": "hi"}, {"role": "user", "seen": 1e999}]', "messages.1.seen"),
        (b'"choices": [{"tool_calls": [{"name": "f", "cost": 1e999}]}]', "choices.0.tool_calls.0.cost"),
        (b'"usage": {"input_tokens": 1, "audio": 1e999}', "usage.audio"),
        (b'"cost_usd": 1e999', "cost_usd"),
    ],
)
def test_a_number_beyond_the_float_range_is_refused_with_its_field(member: bytes, path: str) -> None:
    with pytest.raises(ContractError) as raised:
        decode_event(orjson.dumps(GOOD)[:-1] + b"," + member + b"}")
    assert raised.value.field == path


def test_a_text_may_contain_nan_and_infinity() -> None:
    event = decode_event(orjson.dumps(GOOD | {"messages": [{"role": "user", "content": "NaN or Infinity?"}]}))
    assert isinstance(event, LLMEvent)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", ""),
        ("event_id", None),
        ("time", "yesterday"),
        ("time", "2026-01-01T00:00:00"),
        ("time", "1066-01-01T00:00:00Z"),
        ("time", "9999-01-01T00:00:00Z"),
        ("tenant", 7),
        ("messages", "hello"),
        ("messages", [{"role": "alien", "content": ""}]),
        ("latency_ms", -1),
        ("cost_usd", 1e300),
        ("usage", {"input_tokens": 2**40}),
        ("schema_version", 99),
        ("kind", "whole"),
    ],
)
def test_a_broken_contract_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ContractError) as raised:
        decode_event(orjson.dumps(GOOD | {field: value}))
    assert raised.value.field.split(".")[0] == field

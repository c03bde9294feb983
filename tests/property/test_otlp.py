"""Whatever comes in is answered: events that are valid, problems with a reason, or a RecordError."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.connectors.otlp import normalise_logs, normalise_spans
from streams.connectors.otlp.any_value import from_json, pairs_from_json
from streams.connectors.otlp.attribute_names import FIELDS, PARAMETERS, PLACED, TAGS
from streams.connectors.otlp.protobuf_wire import submessages
from tests.mutations import bombs, mutated
from tests.otlp import CALL, as_proto, calls, journal, log, span, traces
from tests.otlp_answers import answered, bodies, check

REAL, BOMBS = bodies(), bombs(2 << 20)
NAMES = sorted({*FIELDS, *TAGS, *PARAMETERS, *PLACED, "gen_ai.prompt.0.content", "llm.input_messages.1.message.role"})
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
values = scalars.filter(lambda v: v is not None) | trees.filter(
    lambda v: isinstance(v, list | dict) and not _none_in(v)
)
attributes = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=12), values, max_size=12)


def _none_in(value: Any) -> bool:
    inner: Sequence[Any] = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else ()
    return value is None or any(_none_in(item) for item in inner)


def answers_to(*bodies: bytes) -> Counter[str]:
    answers: Counter[str] = Counter()
    for raw in bodies:
        answered(raw, answers)
    return answers


@given(st.binary(max_size=400))
@example(b"\x0a\x00")
def test_any_bytes_are_answered(raw: bytes) -> None:
    assert not answers_to(raw)["no reason"]


@given(trees)
def test_any_json_is_answered(tree: Any) -> None:
    spans = b'{"resourceSpans":' + orjson.dumps(tree) + b"}"
    logs = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":' + orjson.dumps(tree) + b"}]}]}"
    assert not answers_to(spans, logs)["no reason"]


pairs = st.lists(
    trees
    | st.fixed_dictionaries(
        {},
        optional={
            "key": st.text(max_size=4) | scalars,
            "value": trees
            | st.dictionaries(
                st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue", "kvlistValue"]),
                trees | st.integers().map(str),
                max_size=2,
            ),
        },
    ),
    max_size=5,
)


@given(pairs)
@example([{"key": "a", "value": {"stringValue": "x"}}, {"key": "b"}, {"key": 1, "value": {"stringValue": "y"}}, "z"])
@example([{"key": "a", "value": {"stringValue": 1}}, {"key": "b", "value": {"intValue": "7", "stringValue": "x"}}])
def test_the_short_way_through_attributes_in_json_reads_what_the_long_one_does(pairs: list[Any]) -> None:
    expected = {
        pair["key"]: from_json(pair.get("value"))
        for pair in pairs
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }
    assert repr(pairs_from_json(pairs)) == repr(expected)  # by what they look like: nan is not itself


@given(attributes)
def test_any_attributes_give_a_valid_call_the_same_from_both_encodings(said: dict[str, Any]) -> None:
    request = traces(span(said | CALL))
    found = normalise_spans(orjson.dumps(request), "json")
    check(found)
    assert len(found.events) + found.rejected == 1
    if b"null" not in orjson.dumps(request):
        assert calls(normalise_spans(as_proto(request), "proto")) == calls(found)


@given(values, attributes)
def test_any_log_record_is_answered(body: Any, said: dict[str, Any]) -> None:
    for name in ("gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result", "gen_ai.guardrail.result"):
        check(normalise_logs(orjson.dumps(journal(log(name, body, said))), "json"))


@given(st.integers(0, 2**32))
def test_a_mutated_request_is_answered(number: int) -> None:
    assert not answers_to(mutated(number, REAL))["no reason"]


@pytest.mark.parametrize("numbers", [range(k, k + 250) for k in range(0, 2000, 250)], ids=str)
def test_the_first_two_thousand_bodies_of_the_fuzzer_are_answered(numbers: range) -> None:
    answers = answers_to(*(mutated(number, REAL) for number in numbers))
    # The mutations reach all kinds of answers, else they would prove little.
    assert all(answers[kind] for kind in ("events", "problems", "DecodeError", "ContractError"))
    assert not answers["no reason"]


@given(st.lists(st.tuples(st.integers(1, 15), st.binary(max_size=300)), max_size=8))
def test_submessages_of_what_was_written_are_what_was_written(fields: list[tuple[int, bytes]]) -> None:
    raw = b"".join(bytes([number << 3 | 2]) + _size(len(payload)) + payload for number, payload in fields)
    found = [(number, raw[begin:end]) for number, begin, end in submessages(raw, 0, len(raw))]
    assert found == fields


def _size(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered(name: str) -> None:
    assert not answers_to(BOMBS[name])["no reason"]


@pytest.mark.parametrize("number", [12429, 21952])
def test_bodies_that_were_not_answered_once_are_answered(number: int) -> None:
    """A part of a message whose type is a list or an object."""
    assert not answers_to(mutated(number, REAL))["no reason"]


@pytest.mark.parametrize("kind", [[], {}, None, 7])
def test_a_part_of_any_type_is_answered(kind: Any) -> None:
    parts = [{"type": kind, "content": "x"}, {"type": "text", "content": "y"}]
    said = {"gen_ai.input.messages": orjson.dumps([{"role": kind, "parts": parts}]).decode()}
    (only,) = calls(normalise_spans(as_proto(traces(span(CALL | said))), "proto"))
    assert only["messages"][0]["content"].endswith("y")


def test_a_resource_whose_sdk_is_a_list_is_answered() -> None:
    given = {"telemetry.sdk.name": ["openlit"]}
    counted = span(CALL | {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 1})
    check(normalise_spans(orjson.dumps(traces(counted, resource=given)), "json"))

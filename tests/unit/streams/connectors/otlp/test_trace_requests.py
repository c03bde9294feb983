"""Trace export requests, dialect by dialect, from both encodings."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest

from schemas.errors import ContractError, DecodeError
from streams.connectors.otlp import normalise_spans
from streams.connectors.otlp.request_limits import (
    MAX_ATTRIBUTES,
    MAX_BODY_BYTES,
    MAX_PROBLEMS,
    MAX_SPANS,
    MAX_UNMAPPED_NAMES,
)
from tests.otlp import BEGIN, CALL, SPAN, TRACE, as_proto, call, calls, span, told, traces

ASKED = [{"role": "user", "parts": [{"type": "text", "content": "why?"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "so."}], "finish_reason": "stop"}]


def test_a_call_has_the_ids_and_the_start_time_of_its_span() -> None:
    only = call(span(CALL))
    assert only["event_id"] == only["call_id"] == f"{TRACE}-{SPAN}"
    assert (only["time"], only["latency_ms"]) == ("2026-01-01T00:00:00.000000Z", 1000.0)
    assert (only["tenant"], only["app"], only["environment"]) == ("clinic", "triage", "production")
    assert (only["trace_id"], only["span_id"]) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "content",
    [
        {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": ANSWERED},
        {"gen_ai.input.messages": orjson.dumps(ASKED).decode(),
         "gen_ai.output.messages": orjson.dumps(ANSWERED).decode()},
        {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "why?", "gen_ai.completion.0.content": "so.",
         "gen_ai.completion.0.finish_reason": "stop"},
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "why?",
         "llm.output_messages.0.message.content": "so.", "llm.finish_reason": "stop"},
        {"langfuse.observation.input": '[{"role": "user", "content": "why?"}]',
         "langfuse.observation.output": '{"role": "assistant", "content": "so.", "finish_reason": "stop"}'},
    ],
    ids=["structured", "JSON", "indexed", "OpenInference", "Langfuse"],
)  # fmt: skip
def test_all_dialects_give_the_same_content(content: dict[str, Any]) -> None:
    only = call(span(CALL | content))
    assert only["messages"] == [{"role": "user", "content": "why?"}]
    assert only["choices"] == [{"content": "so.", "finish_reason": "stop"}]


@pytest.mark.parametrize(
    "events",
    [
        [("gen_ai.user.message", {"content": "why?"}),
         ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "so."}})],
        [("gen_ai.user.message", {"gen_ai.event.content": '{"role": "user", "content": "why?"}'}),
         ("gen_ai.choice", {"gen_ai.event.content": '{"finish_reason": "stop", "message": {"content": "so."}}'})],
        [("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "why?"}]'}),
         ("gen_ai.content.completion", {"gen_ai.completion": "so."})],
        [("gen_ai.client.inference.operation.details",
          {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": ANSWERED})],
    ],
    ids=["1.36", "Azure", "1.27", "details"],
)  # fmt: skip
def test_span_events_give_the_same_content(events: list[Any]) -> None:
    only = call(span(CALL | {"gen_ai.response.finish_reasons": ["stop"]}, events=events))
    assert only["messages"] == [{"role": "user", "content": "why?"}]
    assert only["choices"] == [{"content": "so.", "finish_reason": "stop"}]


def test_invalid_json_is_kept_as_the_user_message() -> None:
    only = call(span(CALL | {"gen_ai.input.messages": "[draft] why?]"}))
    assert only["messages"] == [{"role": "user", "content": "[draft] why?]"}]


def test_system_instructions_come_first_and_other_parts_are_markers() -> None:
    parts = [{"type": "text", "content": "what is this?"}, {"type": "uri", "modality": "image", "uri": "x"}]
    instructions = {"gen_ai.system_instructions": [{"type": "text", "content": "be brief"}]}
    only = call(span(CALL | instructions | {"gen_ai.input.messages": [{"role": "user", "parts": parts}]}))
    assert only["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is this?\n[image]"},
    ]


def test_choices_are_ordered_by_index() -> None:
    events = [("gen_ai.choice", {"index": n, "message": {"content": str(n)}}) for n in (2, 0, 1)]
    assert [c["content"] for c in call(span(CALL, events=events))["choices"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("gen_ai.prompt.name", "gen_ai.prompt.version"),
        ("langfuse.observation.prompt.name", "langfuse.observation.prompt.version"),
        ("traceloop.prompt.key", "traceloop.prompt.version"),
        ("prompt.id", "llm.prompt_template.version"),
    ],
)
def test_each_vendors_prompt_name_and_version_are_read(name: str, version: str) -> None:
    only = call(span(CALL | {name: "triage", version: 7}))
    assert (only["prompt_name"], only["prompt_version"]) == ("triage", "7")


def test_parameters_labels_cost_conversation_and_user() -> None:
    given = {
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.choice.count": 2,
        "gen_ai.usage.cost": 0.0031,
        "gen_ai.conversation.id": "c-1",
        "enduser.id": "u-9",
        "traceloop.association.properties.ward": "a",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "openai.response.system_fingerprint": "fp_1",
    }
    found = told(span(CALL | given))
    (only,) = calls(found)
    assert only["parameters"] == {"temperature": 0.2, "stop": ["END"], "n": 2}
    assert (only["cost_usd"], only["ttft_ms"], only["system_fingerprint"]) == (0.0031, 250.0, "fp_1")
    assert (only["conversation_id"], only["user_id"], only["tags"]) == ("c-1", "u-9", {"ward": "a"})
    assert found.events[0][0] == b"clinic/triage"


def test_a_failed_span_is_an_error_with_type_message_and_status() -> None:
    failed = {"status": {"code": 2, "message": "too many requests"}}
    only = call(span(CALL | {"error.type": "RateLimitError", "http.response.status_code": 429}, **failed))
    assert only["error"] == {"type": "RateLimitError", "message": "too many requests", "status": 429}
    raised = [("exception", {"exception.type": "TimeoutError", "exception.message": "late"})]
    assert call(span(CALL, events=raised, status={"code": 2}))["error"] == {"type": "TimeoutError", "message": "late"}
    assert call(span(CALL | {"error.type": "503"}))["error"] == {"type": "503", "status": 503}


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.method": "GET"},
        {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.usage.input_tokens": 3},
        {"gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300},
        {"gen_ai.operation.name": "fetch_response", "gen_ai.usage.input_tokens": 3},
        {"openinference.span.kind": "CHAIN"},
        {"traceloop.span.kind": "workflow", "llm.x": 1},
        {"gen_ai.agent.name": "a"},
    ],
)
def test_spans_without_an_llm_call_are_skipped(attributes: dict[str, Any]) -> None:
    found = told(span(attributes), span(attributes, spanId="1" * 16))
    assert (found.events, found.skipped, found.problems) == ([], 2, [])


def test_nested_call_spans_are_one_call() -> None:
    outer = span(CALL | {"gen_ai.input.messages": ASKED})
    inner = span(
        CALL | {"gen_ai.response.model": "gpt-4o-1", "gen_ai.usage.input_tokens": 3}, spanId="1" * 16, parentSpanId=SPAN
    )
    for order in ([outer, inner], [inner, outer]):
        found = told(*order)
        (only,) = calls(found)
        assert found.skipped == 1
        assert only["span_id"] == SPAN
        assert (only["response_model"], only["usage"]["input_tokens"]) == ("gpt-4o-1", 3)
        assert only["messages"]


def test_attributes_override_the_resource_and_the_authenticated_tenant_overrides_both() -> None:
    resource = {"service.namespace": "n", "service.name": "s", "streamgauge.tenant": "t", "deployment.environment": "e"}
    only = call(span(CALL), resource=resource)
    assert (only["tenant"], only["app"], only["environment"]) == ("t", "s", "e")
    own = span(CALL | {"streamgauge.tenant": "own"})
    assert call(own, resource=resource)["tenant"] == "own"
    assert call(own, resource=resource, tenant="proved")["tenant"] == "proved"
    nameless = call(span(CALL), resource={})
    assert (nameless["tenant"], nameless["app"]) == ("default", "unknown")


def test_documents_come_from_retrievals_before_the_call() -> None:
    retriever = {"openinference.span.kind": "RETRIEVER", "retrieval.documents.0.document.content": "p",
                 "retrieval.documents.0.document.id": "d", "retrieval.documents.0.document.score": 0.5}  # fmt: skip
    before = {"startTimeUnixNano": str(BEGIN - 10**9), "endTimeUnixNano": str(BEGIN)}
    found = told(
        span(CALL),
        span(retriever, spanId="1" * 16, **before),
        span(retriever, spanId="2" * 16),
        span(retriever, spanId="3" * 16, traceId="4" * 32, **before),
    )
    (only,) = calls(found)
    assert only["documents"] == [{"text": "p", "id": "d", "score": 0.5}]


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": '[{"id": "d", "content": "p"}]'}, []),
        ({"gen_ai.operation.name": "vector_db_retrieve",
          "traceloop.entity.output": '{"documents": [{"page_content": "p", "metadata": {}}]}'}, []),
        ({"db.system": "chroma"}, [("db.query.result", {"db.query.result.id": "d", "db.query.result.document": "p"})]),
    ],
    ids=["1.40", "Traceloop's LangChain", "Traceloop's vector databases"],
)  # fmt: skip
def test_each_dialects_retrievals_are_read(attributes: dict[str, Any], events: list[Any]) -> None:
    before = {"startTimeUnixNano": str(BEGIN - 10**9), "endTimeUnixNano": str(BEGIN)}
    only = call(span(CALL), span(attributes, spanId="1" * 16, events=events, **before))
    assert [passage["text"] for passage in only["documents"]] == ["p"]


def test_calls_are_fragments_if_logs_may_follow() -> None:
    assert call(span(CALL), wait_for_logs=True)["fragments"] == ["span"]
    whole = {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": ANSWERED}
    assert call(span(CALL | whole), wait_for_logs=True)["fragments"] == ["span", "messages", "choices"]
    # One that failed has no answer to wait for.
    assert call(span(CALL, status={"code": 2}), wait_for_logs=True)["fragments"] == ["span", "choices"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"traceId": "0" * 32}, "trace_id"),
        ({"traceId": "ab"}, "trace_id"),
        ({"spanId": "0" * 16}, "span_id"),
        ({"startTimeUnixNano": "0"}, "start_time_unix_nano"),
        ({"startTimeUnixNano": str(2**63)}, "start_time_unix_nano"),
    ],
)
def test_an_invalid_span_is_a_problem_and_other_spans_are_read(change: dict[str, Any], field: str) -> None:
    found = told(span(CALL), span(CALL, **{"spanId": "1" * 16} | change), span(CALL, spanId="2" * 16))
    assert len(found.events) == 2
    assert found.rejected == 1
    assert field in found.problems[0].reason


def test_a_malformed_span_does_not_affect_other_spans() -> None:
    good = as_proto(traces(span(CALL)))
    marker = b"gen_ai.request.model"
    bad = as_proto(traces(span(CALL, spanId="1" * 16))).replace(b"\x14" + marker, b"\x7f" + marker, 1)
    found = normalise_spans(good + bad, "proto")
    assert len(found.events) == 1
    assert found.rejected == 1


def test_unmapped_names_are_counted_up_to_a_limit() -> None:
    given = {f"gen_ai.novel.{n}.x": 1 for n in range(3)} | {"gen_ai.tool.definitions": "[]", "http.route": "/"}
    found = told(span(CALL | given))
    assert found.unmapped == {"gen_ai.novel.N.x": 3, "gen_ai.tool.definitions": 1}
    letters = [a + b for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst"]
    many = told(span(CALL | {f"gen_ai.{name}": 1 for name in letters}))
    assert len(many.unmapped) == MAX_UNMAPPED_NAMES + 1
    assert many.unmapped["(other)"] == len(letters) - MAX_UNMAPPED_NAMES


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_ignored(value: float) -> None:
    given = {
        "gen_ai.usage.cost": value,
        "gen_ai.request.temperature": value,
        "gen_ai.response.time_to_first_chunk": value,
    }
    only = call(span(CALL | given))
    assert not only.keys() & {"cost_usd", "parameters", "ttft_ms"}


@pytest.mark.parametrize("end", [0, BEGIN - 1, BEGIN + 100 * 86_400 * 10**9])
def test_an_impossible_duration_is_ignored(end: int) -> None:
    assert "latency_ms" not in call(span(CALL, endTimeUnixNano=str(end)))


# Bodies


@pytest.mark.parametrize("encoding", ["proto", "json", "auto"])
def test_an_empty_request_gives_nothing(encoding: Any) -> None:
    found = normalise_spans(b"{}" if encoding == "json" else b"", encoding)
    assert (found.events, found.problems, found.skipped) == ([], [], 0)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"resourceLogs": []}', b"\xff", b'{"a": "\\ud800"}', b"[" * 5000])
def test_invalid_json_is_a_record_error(raw: bytes) -> None:
    with pytest.raises((DecodeError, ContractError)):
        normalise_spans(raw, "json")


@pytest.mark.parametrize("raw", [b"\x0a", b"\x0a\x05ab", b"\xff" * 30, b"\x0b\x0c", b"GET / HTTP/1.1"])
def test_invalid_protobuf_is_a_record_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        normalise_spans(raw, "proto")


def test_a_body_above_the_limit_is_rejected_unread() -> None:
    with pytest.raises(ContractError) as large:
        normalise_spans(b"\x0a" * (MAX_BODY_BYTES + 1), "proto")
    assert large.value.code == "too_large"
    with pytest.raises(ContractError) as many:
        normalise_spans(b'{"resourceSpans":[' + b"{}," * 2_000_000 + b"{}]}", "json")
    assert many.value.code == "too_many_values"
    with pytest.raises(DecodeError) as null:
        normalise_spans(None, "auto")
    assert null.value.code == "null"


def test_spans_and_attributes_above_the_limits_are_problems() -> None:
    one = as_proto(traces(span(CALL)))
    found = normalise_spans(one * (MAX_SPANS + 500), "proto")
    assert (len(found.events), found.rejected, len(found.problems)) == (MAX_SPANS, 500, MAX_PROBLEMS)
    crowded = {f"gen_ai.x{n}": "1" for n in range(MAX_ATTRIBUTES + 1)}
    assert normalise_spans(as_proto(traces(span(crowded))), "proto").rejected == 1

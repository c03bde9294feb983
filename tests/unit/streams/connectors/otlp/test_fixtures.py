"""Exports of real instrumentation libraries give the same calls in all dialects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.event import LLMEvent
from streams.connectors.otlp import normalise_logs, normalise_spans
from streams.runtime.partitioning import event_key
from tests.fixtures.otlp.provider import ANSWER, CALL
from tests.otlp import FIXTURES, fixture

SYSTEM, ASKED = "You are a weather assistant.", "How warm is it in Paris?"
OPENAI = ("genai_openai", "traceloop_openai", "traceloop_indexed", "openinference_openai", "traceloop_guardrail")
ANTHROPIC = ("genai_anthropic", "traceloop_anthropic", "openinference_anthropic")
LANGCHAIN = ("genai_langchain", "traceloop_langchain", "openinference_langchain")
BODIES = sorted(FIXTURES.glob("*.bin"))


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_events_are_valid_and_equal_from_protobuf_and_json(path: Path) -> None:
    read = normalise_spans if ".spans" in path.name else normalise_logs
    found = read(path.read_bytes(), "auto")
    assert found.events
    assert read(path.with_suffix(".json").read_bytes(), "auto") == found
    for key, event in found.events:
        whole = LLMEvent.model_validate_json(event)
        assert (whole.tenant, whole.app, whole.environment) == ("clinic", "triage", "staging")
        assert key == event_key(whole) == b"clinic/triage"
        assert whole.event_id == whole.call_id


@pytest.mark.parametrize("name", OPENAI)
def test_an_openai_call_with_a_tool_call(name: str) -> None:
    first = fixture(name)[0]
    assert (first["provider"], first["request_model"], first["response_model"]) == (
        "openai",
        "gpt-4o",
        "gpt-4o-2024-11-20",
    )
    assert [(m["role"], m["content"]) for m in first["messages"]] == [("system", SYSTEM), ("user", ASKED)]
    (choice,) = first["choices"]
    assert choice["content"] == ""
    assert choice["tool_calls"] == [CALL]
    assert choice["finish_reason"] in {"tool_calls", "tool_call"}
    assert first["usage"] == {"input_tokens": 120, "output_tokens": 40, "cached_tokens": 64, "reasoning_tokens": 16}
    assert (first["parameters"]["temperature"], first["parameters"]["max_tokens"]) == (0.2, 64)
    assert 0 < first["latency_ms"] < 60_000


@pytest.mark.parametrize("name", [*OPENAI, "azure_inference"])
def test_a_streamed_openai_call_with_a_tool_result(name: str) -> None:
    second = fixture(name)[1]
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert second["messages"][2]["tool_calls"] == [CALL]
    assert (second["messages"][3]["content"], second["messages"][3]["tool_call_id"]) == ("18", "call_1")
    (choice,) = second["choices"]
    assert (choice["content"], choice["finish_reason"]) == (ANSWER, "stop")
    assert second["usage"]["input_tokens"] == 120
    if name != "azure_inference":
        assert second["usage"]["cached_tokens"] == 64
        assert 0 < second["ttft_ms"] <= second["latency_ms"]


@pytest.mark.parametrize("name", OPENAI)
def test_a_failed_openai_call(name: str) -> None:
    third = fixture(name)[2]
    assert third["request_model"] == "broken"
    assert third["error"]["type"].endswith("RateLimitError")
    assert "too many requests" in third["error"]["message"]
    assert "choices" not in third
    assert "usage" not in third


@pytest.mark.parametrize("name", ANTHROPIC)
def test_anthropic_calls_count_cached_tokens_as_input(name: str) -> None:
    first, second, failed = fixture(name)
    assert first["choices"][0]["tool_calls"][0]["name"] == CALL["name"]
    assert second["messages"][-1]["role"] == "tool"
    assert second["messages"][-1]["tool_call_id"] == "toolu_1"
    assert second["choices"][0]["content"] == ANSWER
    for each in (first, second):
        assert (each["provider"], each["response_model"]) == ("anthropic", "claude-sonnet-4-5")
        assert [m["content"] for m in each["messages"]][:2] == [SYSTEM, ASKED]
        # 20 that were not cached, 64 read from the cache, 16 written to it.
        assert (each["usage"]["input_tokens"], each["usage"]["cached_tokens"]) == (100, 64)
    assert failed["error"]["status"] == 429


def test_spans_of_anthropics_sdk_are_merged_with_those_of_the_instrumentation() -> None:
    for name in ANTHROPIC:
        found = normalise_spans((FIXTURES / f"{name}.spans.bin").read_bytes(), "proto")
        assert (len(found.events), found.skipped) == (3, 3)
    streamed = fixture("traceloop_anthropic")[1]
    assert streamed["tags"]["server.address"] == "127.0.0.1"
    assert 0 < streamed["ttft_ms"] <= streamed["latency_ms"]


@pytest.mark.parametrize("name", LANGCHAIN)
def test_a_call_gets_the_passages_of_the_previous_retrieval(name: str) -> None:
    (only,) = fixture(name)
    assert only["choices"][0]["content"] == ANSWER
    assert only["response_model"] == "gpt-4o-2024-11-20"
    if name == "genai_langchain":
        # The conventions record no text of a passage.
        assert only["tags"]["retrieval.document_ids"] == "d1"
    else:
        assert only["documents"] == [{"text": "In Paris it is 18 degrees.", "source": "paris.md"}]


def test_openinference_has_session_user_and_prompt_version() -> None:
    for each in fixture("openinference_openai"):
        assert (each["conversation_id"], each["user_id"], each["prompt_version"]) == ("s-1", "u-9", "v3")


def test_azures_sdk_writes_messages_as_span_events() -> None:
    first, _ = fixture("azure_inference")
    assert [m["content"] for m in first["messages"]] == [SYSTEM, ASKED]
    assert first["choices"][0]["tool_calls"] == [CALL]


def test_langfuses_sdk_has_cost_and_token_counts_in_json() -> None:
    (only,) = fixture("langfuse_sdk")
    assert (only["conversation_id"], only["user_id"], only["cost_usd"]) == ("s-1", "u-9", 0.0012)
    assert only["usage"] == {"input_tokens": 120, "output_tokens": 40, "cached_tokens": 64, "reasoning_tokens": 0}
    assert only["choices"] == [{"content": ANSWER}]


@pytest.mark.parametrize("name", ["openai_v2", "genai_openai_event"])
def test_messages_in_log_records_are_fragments_of_the_calls(name: str) -> None:
    spans, logs = fixture(name), fixture(name, "logs")
    assert {each["call_id"] for each in logs} == {each["call_id"] for each in spans}
    by_call: dict[str, Any] = {each["call_id"]: each for each in logs}
    first, second, third = (by_call[each["call_id"]] for each in spans)
    assert first["fragments"] == second["fragments"] == ["messages", "choices"]
    assert third["fragments"] == ["messages"]
    assert second["choices"][0]["content"] == ANSWER
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert not any(each.get("messages") for each in spans)


def test_traceloops_guardrail_spans_are_verdicts_on_adjacent_calls() -> None:
    first, second, third = fixture("traceloop_guardrail")
    assert [(g["name"], g["verdict"], g["mode"]) for g in first["guardrails"]] == [("no_secrets", "pass", "pre")]
    assert [(g["name"], g["verdict"], g["mode"]) for g in third["guardrails"]] == [("no_numbers", "flag", "post")]
    assert "guardrails" not in second

"""Normalization to the monitor's contract. The monitor's tests/contract check the result against the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.normalization import flatten_content, normalize_event, partition_key
from streamgauge.settings import read_settings

SETTINGS = read_settings({"url": "memory://x", "tenant": "clinic", "app": "triage"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def normalized(event: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    repaired = normalize_event(event, SETTINGS)
    return event, repaired


def test_a_valid_event_is_unchanged() -> None:
    event = {
        "kind": "call",
        "schema_version": 1,
        "event_id": "e",
        "call_id": "c",
        "time": "2026-01-01T00:00:00Z",
        "tenant": "t",
        "app": "a",
        "environment": "production",
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "name": "f", "arguments": "{}"}],
            }
        ],
        "documents": [{"id": "d", "text": "x", "score": 0.5, "source": None}],
        "choices": [{"content": "y", "finish_reason": None, "tool_calls": [], "logprobs": [-0.1]}],
        "usage": {"input_tokens": 1, "output_tokens": 2, "cached_tokens": 0, "reasoning_tokens": 0},
        "error": {"type": "E", "message": "m", "status": 500},
        "tags": {"a": "b"},
        "own": {"field": [1]},
    }
    before = repr(event).replace("'content': None", "'content': ''")
    after, repaired = normalized(event)
    assert (repr(after), repaired) == (before, False)


@pytest.mark.parametrize(
    ("field", "given_", "sent"),
    [
        ("messages", "hello", [{"role": "user", "content": "hello"}]),
        ("messages", {"role": "human", "content": "x"}, [{"role": "user", "content": "x"}]),
        ("messages", [{"role": ["user"]}], [{"role": "user"}]),
        ("messages", [{"content": "x"}], [{"content": "x", "role": "user"}]),
        ("messages", [{"role": "tool", "content": {"a": 1}}], [{"role": "tool", "content": '{"a":1}'}]),
        ("documents", ["text"], [{"text": "text"}]),
        ("documents", [{"page_content": "p", "score": "high"}], [{"page_content": "p", "score": None, "text": "p"}]),
        ("choices", ["yes"], [{"content": "yes"}]),
        (
            "choices",
            [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            [{"content": "yes", "index": 0, "finish_reason": "stop", "role": "assistant"}],
        ),
        (
            "choices",
            [
                {
                    "content": "",
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {}}}],
                }
            ],
            [{"content": "", "tool_calls": [{"id": "1", "name": "f", "arguments": "{}"}]}],
        ),
        ("choices", [{"logprobs": [0, None]}], [{"logprobs": None}]),
        (
            "usage",
            {"input_tokens": 3.0, "output_tokens": -1, "x": "y"},
            {"input_tokens": 3, "output_tokens": 0, "x": "y"},
        ),
        ("usage", 5, None),
        ("cost_usd", -1, None),
        ("latency_ms", "fast", None),
        ("latency_ms", 1e9, None),
        ("error", "boom", {"type": "error", "message": "boom"}),
        ("error", {"status": "429"}, {"status": 429, "type": ""}),
        ("tags", {"a": 1, "b": None, "c": True}, {"a": "1", "c": "true"}),
        ("tags", ["a"], {}),
        ("parameters", [1], {}),
        ("prompt_version", 7, "7"),
        ("user_id", 42, "42"),
        ("conversation_id", "c" * 300, "c" * 256),
        ("tenant", 5, "5"),
        ("tenant", "", "clinic"),
        ("call_id", None, "e"),
        ("kind", "embedding", "call"),
        (
            "guardrails",
            [{"name": "g", "verdict": "maybe", "mode": []}],
            [{"name": "g", "verdict": "error", "mode": None}],
        ),
        ("guardrails", ["pii"], [{"name": "pii", "verdict": "error"}]),
    ],
)
def test_invalid_fields_are_repaired(field: str, given_: Any, sent: Any) -> None:
    event, repaired = normalized({"event_id": "e", field: given_})
    assert event[field] == sent
    assert repaired or given_ in {None, ""}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01 00:00:00", "2026-01-01T00:00:00Z"),
        (1767225600, "2026-01-01T00:00:00Z"),
    ],
)
def test_times_are_sent_in_utc(written: Any, sent: str) -> None:
    assert normalized({"time": written})[0]["time"] == sent


@pytest.mark.parametrize(
    "written", ["yesterday", "1066-10-14T09:00:00Z", "9999-12-31T23:59:59-23:59", 1e30, -1e12, [], ""]
)
def test_an_invalid_time_becomes_the_current_time(written: Any) -> None:
    time = datetime.fromisoformat(normalized({"time": written})[0]["time"])
    assert abs((datetime.now(time.tzinfo) - time).total_seconds()) < 60


def test_requests_responses_and_fragments_keep_their_kind() -> None:
    assert normalized({"kind": "request"})[0]["kind"] == "request"
    assert normalized({"kind": "request", "choices": [{"content": "x"}]})[0]["kind"] == "call"
    assert normalized({"kind": "fragment", "fragments": ["span", "x"]})[0]["fragments"] == ["span"]
    assert normalized({"kind": "fragment", "fragments": "span"})[0]["kind"] == "call"
    assert normalized({"kind": "call", "fragments": ["span"]})[0]["fragments"] == []


def test_the_key_is_the_conversation_or_tenant_and_app() -> None:
    assert partition_key({"call_id": "1", "conversation_id": "c-1", "tenant": "t", "app": "a"}) == b"c-1"
    assert partition_key({"call_id": "1", "conversation_id": None, "tenant": "t", "app": "a"}) == b"t/a"
    assert partition_key({"call_id": "1", "conversation_id": "", "tenant": "t", "app": "ä"}) == "t/ä".encode()
    span = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    assert partition_key({"call_id": span, "conversation_id": "c-1", "tenant": "t", "app": "a"}) == b"t/a"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (["a", {"type": "text", "text": "b"}, {"text": "c"}], "a\nb\nc"),
        ([{"type": "image_url", "image_url": {"url": "data:..."}}, {"type": "thinking"}], "[image]\n[thinking]"),
        ([{"type": "input_text", "text": "x"}, {"type": "refusal", "refusal": "no"}], "x\nno"),
        ({"type": "text", "text": "x"}, "x"),
        ({"a": 1}, '{"a":1}'),
        (5, "5"),
    ],
)
def test_content_parts_become_one_text(content: Any, text: str) -> None:
    assert flatten_content(content) == text


FIELDS = st.sampled_from([
    "kind", "fragments", "event_id", "call_id", "time", "tenant", "app", "environment", "conversation_id",
    "user_id", "prompt_name", "parameters", "messages", "documents", "choices", "usage", "cost_usd",
    "latency_ms", "error", "guardrails", "groups", "tags", "own",
])  # fmt: skip
INSIDE = st.sampled_from([
    "role", "content", "name", "tool_calls", "function", "arguments", "id", "text", "score", "message",
    "logprobs", "finish_reason", "type", "status", "verdict", "mode", "categories", "latency_ms",
    "input_tokens",
])  # fmt: skip


@given(st.dictionaries(FIELDS, JSON | st.lists(st.dictionaries(INSIDE, JSON | st.lists(JSON, max_size=2)), max_size=3)))
def test_normalization_is_idempotent(event: dict[str, Any]) -> None:
    once, _ = normalized(event)
    before = repr(once)
    twice, repaired = normalized(once)
    assert (repr(twice), repaired) == (before, False)

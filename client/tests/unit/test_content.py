"""Content modes, redaction and truncation."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.serialization import EventSerializer
from streamgauge.settings import ContentMode, read_settings
from unit.conftest import MakeRecorder

SECRET = "Jane Doe, jane@example.org"
EVENT: dict[str, Any] = {
    "event_id": "e1",
    "call_id": "c1",
    "conversation_id": "conv-1",
    "user_id": "jane@example.org",
    "prompt_name": "triage",
    "request_model": "gpt-x",
    "parameters": {"temperature": 0.5, "tool_choice": "auto", "stop": [SECRET], "tools": [{"description": SECRET}]},
    "messages": [
        {"role": "user", "content": SECRET, "name": SECRET},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "name": "find", "arguments": SECRET}]},
    ],
    "documents": [{"id": "d1", "text": SECRET, "source": SECRET, "score": 0.5}],
    "choices": [{"content": "positive", "finish_reason": "stop", "logprobs": [-0.5]}],
    "error": {"type": "BadRequest", "message": SECRET, "status": 400},
    "usage": {"input_tokens": 5},
    "tags": {"tier": "gold", "note": SECRET},
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "own": {"deep": [SECRET]},
}


def sent(recorder: MakeRecorder, event: dict[str, Any] = EVENT, **settings: Any) -> dict[str, Any]:
    publisher = recorder(**settings)
    publisher.publish(event)
    (sent_event,) = publisher.events
    return sent_event


def test_full_sends_texts_unchanged(recorder: MakeRecorder) -> None:
    event = sent(recorder)
    assert {name: event[name] for name in EVENT} == EVENT


def test_redacted_applies_the_built_in_redaction(recorder: MakeRecorder) -> None:
    event = sent(recorder, content="redacted")
    assert event["messages"][0]["content"] == "Jane Doe, [email]"
    assert event["tags"] == {"tier": "gold", "note": "Jane Doe, [email]"}
    assert "jane@example.org" not in json.dumps(event)
    assert event["messages"][1]["tool_calls"][0]["name"] == "find"
    assert event["choices"] == EVENT["choices"]


def test_custom_redaction_runs_after_the_built_in(recorder: MakeRecorder) -> None:
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("Jane Doe", "[name]")

    event = sent(recorder, content="redacted", redact=redact)
    assert event["messages"][0]["content"] == "[name], [email]"
    assert all("jane@example.org" not in text for text in seen)


def test_custom_redaction_works_without_the_built_in(recorder: MakeRecorder) -> None:
    event = sent(recorder, redact=lambda text: text.replace("Jane Doe", "[name]"))
    assert event["messages"][0]["content"] == "[name], jane@example.org"
    assert event["user_id"] == "jane@example.org"


@pytest.mark.parametrize("wrong", [lambda text: 1 / 0, lambda text: None, lambda text: text.encode()])
def test_a_failed_redaction_replaces_the_text(recorder: MakeRecorder, wrong: Any) -> None:
    publisher = recorder(redact=wrong)
    publisher.publish(EVENT)
    (event,) = publisher.events
    assert "Jane" not in json.dumps(event)
    assert event["messages"][0]["content"] == "[redaction failed]"
    assert publisher.stats.redaction_errors > 5


def test_hash_sends_equal_hashes_for_equal_texts(recorder: MakeRecorder) -> None:
    event = sent(recorder, content="hash")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()[:16]
    assert event["messages"][0]["content"] == f"[sha256={digest}, 26 chars]"
    assert event["documents"][0]["text"] == event["messages"][0]["content"]
    assert event["choices"][0]["content"] != "positive"
    assert "Jane" not in json.dumps(event)
    assert "jane@" not in json.dumps(event)


def test_a_key_changes_the_hashes(recorder: MakeRecorder) -> None:
    first, second = (sent(recorder, content="hash", hash_key=key)["choices"][0]["content"] for key in ("a", "b"))
    assert first != second
    assert first.startswith("[hmac=")


def test_none_sends_no_texts(recorder: MakeRecorder) -> None:
    event = sent(recorder, content="none")
    assert [message["content"] for message in event["messages"]] == ["", ""]
    assert event["choices"][0] == {"content": "", "finish_reason": "stop", "logprobs": [-0.5]}
    assert event["documents"][0]["text"] == ""
    assert event["own"] == {"deep": [""]}
    assert "Jane" not in json.dumps(event)
    assert "positive" not in json.dumps(event)


@pytest.mark.parametrize("mode", ["hash", "none"])
def test_fields_without_content_are_always_sent(recorder: MakeRecorder, mode: ContentMode) -> None:
    event = sent(recorder, content=mode)
    for name in ("event_id", "call_id", "conversation_id", "prompt_name", "request_model", "usage", "trace_id"):
        assert event[name] == EVENT[name]
    assert event["messages"][1]["role"] == "assistant"
    assert event["messages"][1]["tool_calls"][0]["name"] == "find"
    assert event["error"]["type"] == "BadRequest"
    assert event["error"]["status"] == 400
    assert event["parameters"]["temperature"] == 0.5
    assert event["parameters"]["tool_choice"] == "auto"
    assert event["tags"]["tier"] == "gold"


@pytest.mark.parametrize("mode", ["redacted", "hash", "none"])
def test_an_id_that_is_an_address_becomes_a_pseudonym(recorder: MakeRecorder, mode: ContentMode) -> None:
    publisher = recorder(content=mode)
    for event_id in ("e1", "e2"):
        publisher.publish({"event_id": event_id, "conversation_id": "jane@example.org", "user_id": "u-9"})
    first, second = publisher.events
    assert first["conversation_id"] == second["conversation_id"] != "jane@example.org"
    assert first["user_id"] == "u-9"


def test_long_texts_are_truncated_with_a_marker(recorder: MakeRecorder) -> None:
    text = "word " * 100_000
    publisher = recorder(max_field_chars=1_000)
    publisher.publish({"messages": [{"role": "user", "content": text}], "own": [text], "parameters": {"short": "x"}})
    (event,) = publisher.events
    content = event["messages"][0]["content"]
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert len(content) == 1_000
    assert content.startswith("word word")
    assert content.endswith(f"...[truncated, 500000 chars in all, sha256={digest}]")
    assert event["own"] == [content]
    assert event["parameters"] == {"short": "x"}
    assert publisher.stats.truncated == 2


def test_truncation_does_not_split_a_match(recorder: MakeRecorder) -> None:
    text = "jane@example.org " * 10_000
    event = sent(recorder, {"messages": [{"role": "user", "content": text}]}, content="redacted", max_field_chars=1_000)
    content = event["messages"][0]["content"]
    assert "[email] [email]" in content
    assert "jane" not in content


def test_an_event_too_large_for_a_record_is_truncated(recorder: MakeRecorder) -> None:
    messages = [{"role": "user", "content": f"{n} " + "x" * 50_000} for n in range(200)]
    publisher = recorder(max_event_bytes=200_000)
    publisher.publish({"messages": messages})
    (event,) = publisher.events
    assert len(json.dumps(event)) < 210_000
    assert len(event["messages"]) == 200
    assert all("truncated" in message["content"] for message in event["messages"])


def test_long_lists_lose_their_middle_after_long_texts(recorder: MakeRecorder) -> None:
    messages = [{"role": "user", "content": f"{n} " + "x" * 300} for n in range(3_000)]
    publisher = recorder(max_event_bytes=20_000)
    publisher.publish({"messages": messages})
    (event,) = publisher.events
    assert event["messages"][0]["content"].startswith("0 ")
    assert event["messages"][-1]["content"].startswith("2999 ")
    assert event["tags"]["messages_in_all"] == "3000"


def test_an_event_that_stays_too_large_keeps_its_identity(recorder: MakeRecorder) -> None:
    publisher = recorder(max_event_bytes=10_000)
    publisher.publish({"call_id": "c1", "own": list(range(100_000)), "request_model": "m" * 50_000})
    (event,) = publisher.events
    assert event["call_id"] == "c1"
    assert event["request_model"] == "m" * 256
    assert event["tags"] == {"content": "left out: too large"}
    assert "own" not in event


WORDS = st.text(min_size=8, max_size=40, alphabet="abcdefgh ")
DEEP = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


@pytest.mark.parametrize("mode", ["hash", "none"])
@given(content=st.text(min_size=8), own=DEEP)
def test_hash_and_none_send_no_sentence(mode: ContentMode, content: str, own: Any) -> None:
    serializer = EventSerializer(read_settings({"url": "memory://x", "content": mode}))
    event = {"messages": [{"role": "user", "content": content}], "own": own, "parameters": {"x": own}}
    _, _, raw = serializer.serialize(json.dumps(event).encode())
    out = json.loads(raw)
    assert content not in out["messages"][0]["content"]
    for word in _texts(own):
        assert " " not in word.strip() or word not in _texts([out["own"], out["parameters"]["x"]])


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = [*value, *value.values()] if isinstance(value, dict) else value
    return [text for item in items for text in _texts(item)]

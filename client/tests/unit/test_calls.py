"""`Call`: one LLM call becomes one event."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from streamgauge.calls import Call
from streamgauge.defaults import default_publisher
from unit.conftest import MakeRecorder, logged_reasons

MESSAGES = [{"role": "user", "content": "hello"}]


class RateLimitError(Exception):
    status_code = 429


def test_a_call_is_published_once(recorder: MakeRecorder) -> None:
    publisher = recorder()
    with streamgauge.context("triage", version="v7", conversation_id="c-1", user_id="u-9", tags={"tier": "gold"}):
        call = Call.start(
            publisher,
            provider="openai",
            request_model="m",
            messages=MESSAGES,
            parameters={"temperature": 0},
            tags={"x": "y"},
        )
    call.first_token()
    call.finish(choices=[{"content": "hi", "finish_reason": "stop"}], usage={"input_tokens": 3}, trace_id="t1")
    call.finish(error=ValueError("too late"))
    (event,) = publisher.events
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
    assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")
    assert event["tags"] == {"tier": "gold", "x": "y"}
    assert event["messages"] == MESSAGES
    assert event["choices"] == [{"content": "hi", "finish_reason": "stop"}]
    assert event["trace_id"] == "t1"
    assert 0 < event["ttft_ms"] <= event["latency_ms"]
    assert "error" not in event
    assert publisher.stats.repaired == 0


def test_messages_are_copied_at_the_start(recorder: MakeRecorder) -> None:
    publisher = recorder()
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
    call = Call.start(publisher, provider="p", messages=messages)
    messages.append({"role": "assistant", "content": "hi"})
    messages[0]["content"] = "changed"
    call.finish()
    assert publisher.events[0]["messages"] == MESSAGES


def test_documents_of_the_context_come_first(recorder: MakeRecorder) -> None:
    publisher = recorder()
    with streamgauge.context("p", documents=[{"text": "a"}]):
        Call.start(publisher, provider="p", documents=[{"text": "b"}]).finish()
    assert [document["text"] for document in publisher.events[0]["documents"]] == ["a", "b"]


def test_an_error_has_its_http_status(recorder: MakeRecorder) -> None:
    publisher = recorder()
    Call.start(publisher, provider="p").finish(error=RateLimitError("slow down"))
    assert publisher.events[0]["error"] == {"type": "RateLimitError", "message": "slow down", "status": 429}


def test_tenant_and_app_of_the_context_override_the_publisher(recorder: MakeRecorder) -> None:
    publisher = recorder()
    with streamgauge.context("p", tenant="other", app="special"):
        Call.start(publisher, provider="p").finish()
    assert (publisher.events[0]["tenant"], publisher.events[0]["app"]) == ("other", "special")


class ExplosiveError(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    @property
    def status_code(self) -> int:
        raise RuntimeError


@pytest.mark.parametrize("bad", [object(), 3, ExplosiveError(), [object()], {"a": object()}, "text", None])
def test_no_argument_makes_a_call_raise(recorder: MakeRecorder, bad: Any) -> None:
    publisher = recorder()
    call = Call.start(publisher, provider=bad, messages=bad, parameters=bad, documents=bad, tags=bad, groups=bad)
    call.first_token()
    call.finish(choices=bad, usage=bad, response_model=bad, error=bad, tags=bad, extra=bad)
    assert call.finished
    assert len(publisher.events) <= 1


def test_without_a_publisher_calls_log_once_and_publish_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        Call.start(provider="p").finish()
    assert logged_reasons(caplog) == ["no-publisher"]


def test_the_default_publisher_comes_from_configure() -> None:
    publisher = streamgauge.configure("memory://configured", tenant="t", app="a")
    Call.start(provider="p").finish()
    assert publisher.flush()
    assert publisher.stats.delivered == 1


def test_the_default_publisher_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_URL", "memory://environment")
    monkeypatch.setenv("STREAMGAUGE_APP", "from-environment")
    Call.start(provider="p").finish()
    publisher = default_publisher()
    assert publisher is not None
    assert publisher.flush()
    assert publisher.settings.app == "from-environment"
    assert publisher.stats.delivered == 1

"""Conversion of calls through LiteLLM."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import streamgauge
from litellm_sdk.call_styles import COST, HELLO, MODEL, USAGE, arrived, arrived_async, litellm, nonempty_choices
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations.litellm import StreamgaugeLogger
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM warns in many places, of nothing that is ours


def test_a_completion_is_one_complete_event(to: Any, recorder: Recorder) -> None:
    before = datetime.now(UTC)
    response = litellm.completion(messages=HELLO, temperature=0.25, max_tokens=64, **to)
    [event] = arrived(recorder)
    assert response.choices[0].message.content == server.ANSWER
    assert event["messages"] == HELLO
    assert nonempty_choices(event) == [{"content": server.ANSWER, "finish_reason": "stop"}]
    assert event["usage"] == USAGE
    assert event["cost_usd"] == pytest.approx(COST)
    assert (event["provider"], event["request_model"], event["response_model"]) == ("openai", MODEL, MODEL)
    assert event["parameters"] == {"temperature": 0.25, "max_tokens": 64}
    assert before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC)
    assert 0 < event["latency_ms"] < 20_000
    assert event["ttft_ms"] is None
    assert event["call_id"] == response._hidden_params["litellm_call_id"]


def test_the_context_of_the_caller_applies_on_litellms_threads(to: Any, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7", conversation_id="c-1", user_id="u-9", documents=[{"text": "d"}]):
        litellm.completion(messages=HELLO, **to)
        list(litellm.completion(messages=HELLO, stream=True, **to))
    for event in arrived(recorder, 2):
        assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
        assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")
        assert [document["text"] for document in event["documents"]] == ["d"]


def test_metadata_overrides_the_context(to: Any, recorder: Recorder) -> None:
    metadata = {"prompt_name": "triage", "prompt_version": "v8", "session_id": "c-2", "tags": ["beta"]}
    with streamgauge.context("other", version="v1", conversation_id="c-1"):
        litellm.completion(messages=HELLO, metadata=metadata, user="u-9", **to)
    [event] = arrived(recorder)
    assert (event["prompt_name"], event["prompt_version"], event["conversation_id"]) == ("triage", "v8", "c-2")
    assert event["user_id"] == "u-9"
    assert event["tags"]["tags"] == "beta"


def test_tool_calls_their_results_and_several_choices(api: Server, to: Any, recorder: Recorder) -> None:
    call = ("t1", "dose", '{"kg":20}')
    both = server.completion(
        server.choice(None, finish_reason="tool_calls", tools=[call]),
        server.choice("Two.", index=1, logprobs=[("Two", -0.5), (".", -0.25)]),
    )
    api.will(Reply.of(both))
    tool = {"type": "function", "function": {"name": "dose", "parameters": {"type": "object", "properties": {}}}}
    asked = {"id": "t1", "type": "function", "function": {"name": "dose", "arguments": '{"kg":20}'}}
    history = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "content": "200 mg", "tool_call_id": "t1"},
    ]
    litellm.completion(messages=history, tools=[tool], n=2, logprobs=True, **to)
    [event] = arrived(recorder)
    told = {"id": "t1", "name": "dose", "arguments": '{"kg":20}'}
    assert event["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [told]},
        {"role": "tool", "content": "200 mg", "tool_call_id": "t1"},
    ]
    assert nonempty_choices(event) == [
        {"finish_reason": "tool_calls", "tool_calls": [told]},
        {"content": "Two.", "finish_reason": "stop", "logprobs": [-0.5, -0.25]},
    ]
    assert event["parameters"] == {"tools": ["dose"], "n": 2, "logprobs": True}


def test_a_text_completion(api: Server, to: Any, recorder: Recorder) -> None:
    litellm.text_completion(prompt="hello", **{**to, "model": "text-completion-openai/gpt-3.5-turbo-instruct"})
    [event] = arrived(recorder)
    assert event["messages"] == HELLO
    assert event["choices"][0]["content"] == server.ANSWER
    assert event["usage"]["input_tokens"] == 19


def test_a_success_reported_twice_is_one_event(
    to: Any, recorder: Recorder, logger: StreamgaugeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a text completion now and then is: the call within it begins a little later and has the same answer."""
    told: list[Any] = []
    tell = logger.log_success_event

    def listen(**ending: Any) -> None:
        told.append(ending)
        tell(**ending)

    monkeypatch.setattr(logger, "log_success_event", listen)
    litellm.completion(messages=HELLO, **to)
    arrived(recorder)
    [ending] = told
    kwargs = ending["kwargs"]
    payload = kwargs["standard_logging_object"]
    later, again = {"startTime": payload["startTime"] + 0.0004}, {"id": f"{payload['id']}_cache_hit1764.2"}
    for changed in ({}, later, again, {"id": "another answer"}):
        tell(**{**ending, "kwargs": {**kwargs, "standard_logging_object": {**payload, **changed}}})
    assert len(recorder.events) == 2


async def test_a_cache_hit_costs_nothing_and_has_a_tag(
    to: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    with streamgauge.context("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, caching=True, **to)
        await arrived_async(recorder, 1)
        await litellm.acompletion(messages=HELLO, caching=True, **to)
    first, second = await arrived_async(recorder, 2)
    assert "cache_hit" not in first["tags"]
    assert second["tags"]["cache_hit"] == "true"
    assert (first["cost_usd"] > 0, second["cost_usd"]) == (True, 0.0)
    assert second["prompt_version"] == "v7"


async def test_a_router_publishes_its_group(api: Server, to: Any, recorder: Recorder) -> None:
    group = {"model_name": "doctor", "litellm_params": to}
    router = litellm.Router(model_list=[group], num_retries=0)
    await router.acompletion(model="doctor", messages=HELLO)
    [event] = await arrived_async(recorder)
    assert event["tags"]["model_group"] == "doctor"
    assert (event["request_model"], event["response_model"]) == (MODEL, MODEL)
    router.discard()

"""LiteLLM as a library, against a local server of the OpenAI API."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import streamgauge
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations import litellm as integration
from streamgauge.integrations import litellm_payload
from streamgauge.integrations.litellm import StreamgaugeLogger
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM warns in many places, of nothing that is ours
litellm: Any = importlib.import_module("litellm")
MODEL = "gpt-4o-mini"
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
COST = 11 * 0.15e-6 + 8 * 0.075e-6 + 12 * 0.6e-6
HELLO = [{"role": "user", "content": "hello"}]
CALLBACKS = ("callbacks", "success_callback", "failure_callback", "input_callback")
ASYNC_CALLBACKS = ("_async_success_callback", "_async_failure_callback", "_async_input_callback")


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def logger(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> StreamgaugeLogger:
    watching = StreamgaugeLogger(recorder)
    for name in (*CALLBACKS, *ASYNC_CALLBACKS):
        monkeypatch.setattr(litellm, name, [])
    monkeypatch.setattr(litellm, "callbacks", [watching])
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    return watching


@pytest.fixture
def to(api: Server, logger: StreamgaugeLogger) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": f"{api.url}/v1", "api_key": "key", "max_retries": 0}


def arrived(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    """Wait for LiteLLM's own threads and tasks to tell of so many calls."""
    pause, deadline = threading.Event(), time.monotonic() + 20
    while len(events := recorder.events) < count and time.monotonic() < deadline:
        pause.wait(0.005)
    assert len(events) == count
    return events


async def arrived_async(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    return await asyncio.to_thread(arrived, recorder, count)


def said(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices without what is empty in them."""
    return [{name: value for name, value in choice.items() if value} for choice in event["choices"]]


def test_a_completion_is_an_event_with_all_its_parts(to: Any, recorder: Recorder) -> None:
    before = datetime.now(UTC)
    response = litellm.completion(messages=HELLO, temperature=0.25, max_tokens=64, **to)
    [event] = arrived(recorder)
    assert response.choices[0].message.content == server.ANSWER
    assert event["messages"] == HELLO
    assert said(event) == [{"content": server.ANSWER, "finish_reason": "stop"}]
    assert event["usage"] == USAGE
    assert event["cost_usd"] == pytest.approx(COST)
    assert (event["provider"], event["request_model"], event["response_model"]) == ("openai", MODEL, MODEL)
    assert event["parameters"] == {"temperature": 0.25, "max_tokens": 64}
    assert before <= datetime.fromisoformat(event["time"]) <= datetime.now(UTC)
    assert 0 < event["latency_ms"] < 20_000
    assert event["ttft_ms"] is None
    assert event["call_id"] == response._hidden_params["litellm_call_id"]


def test_the_context_of_the_caller_is_known_on_litellms_threads(to: Any, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7", conversation_id="c-1", user_id="u-9", documents=[{"text": "d"}]):
        litellm.completion(messages=HELLO, **to)
        list(litellm.completion(messages=HELLO, stream=True, **to))
    for event in arrived(recorder, 2):
        assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
        assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")
        assert [document["text"] for document in event["documents"]] == ["d"]


def test_metadata_names_prompt_and_conversation_before_the_context(to: Any, recorder: Recorder) -> None:
    metadata = {"prompt_name": "triage", "prompt_version": "v8", "session_id": "c-2", "tags": ["beta"]}
    with streamgauge.prompt("other", version="v1", conversation_id="c-1"):
        litellm.completion(messages=HELLO, metadata=metadata, user="u-9", **to)
    [event] = arrived(recorder)
    assert (event["prompt_name"], event["prompt_version"], event["conversation_id"]) == ("triage", "v8", "c-2")
    assert event["user_id"] == "u-9"
    assert event["labels"]["tags"] == "beta"


def test_a_stream_is_one_event_with_its_time_to_the_first_token(to: Any, recorder: Recorder) -> None:
    stream = litellm.completion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **to)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == server.ANSWER
    [event] = arrived(recorder)
    assert said(event) == [{"content": server.ANSWER, "finish_reason": "stop"}]
    assert event["usage"] == USAGE
    assert event["cost_usd"] == pytest.approx(COST)
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


async def test_async_calls_whole_and_streamed(to: Any, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, **to)
        stream = await litellm.acompletion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **to)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    whole, streamed = await arrived_async(recorder, 2)
    assert text == whole["choices"][0]["content"] == streamed["choices"][0]["content"] == server.ANSWER
    assert whole["usage"] == streamed["usage"] == USAGE
    assert {event["prompt_version"] for event in (whole, streamed)} == {"v7"}
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)


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
    assert said(event) == [
        {"finish_reason": "tool_calls", "tool_calls": [told]},
        {"content": "Two.", "finish_reason": "stop", "logprobs": [-0.5, -0.25]},
    ]
    assert event["parameters"] == {"tools": ["dose"], "n": 2, "logprobs": True}


def test_the_responses_api(to: Any, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7"):
        litellm.responses(input="hello", instructions="Be brief.", **to)
        list(litellm.responses(input="hello", stream=True, **to))
    whole, streamed = arrived(recorder, 2)
    usage = {"input_tokens": 40, "output_tokens": 25, "cached_tokens": 16, "reasoning_tokens": 18}
    assert whole["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert whole["choices"][0]["content"] == streamed["choices"][0]["content"] == server.ANSWER
    assert whole["usage"] == streamed["usage"] == usage
    assert [event["prompt_version"] for event in (whole, streamed)] == ["v7", "v7"]
    assert streamed["ttft_ms"] > 0


def test_a_text_completion(api: Server, to: Any, recorder: Recorder) -> None:
    litellm.text_completion(prompt="hello", **{**to, "model": "text-completion-openai/gpt-3.5-turbo-instruct"})
    [event] = arrived(recorder)
    assert event["messages"] == HELLO
    assert event["choices"][0]["content"] == server.ANSWER
    assert event["usage"]["input_tokens"] == 19


def test_embeddings_are_no_calls_of_a_language_model(
    api: Server, to: Any, recorder: Recorder, logger: StreamgaugeLogger
) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    api.will(Reply.of({"object": "list", "data": [vector], "model": "e", "usage": usage}))
    litellm.embedding(input=["hello"], **{**to, "model": "openai/text-embedding-3-small"})
    litellm.completion(messages=HELLO, **to)
    assert [event["request_model"] for event in arrived(recorder)] == [MODEL]


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_host_gets_the_librarys_error_and_the_event_has_it(
    api: Server, to: Any, recorder: Recorder, status: int
) -> None:
    api.will(server.error(status))
    with pytest.raises(Exception, match="litellm") as raised:
        litellm.completion(messages=HELLO, **to)
    [event] = arrived(recorder)
    assert event["error"]["type"] == type(raised.value).__name__
    assert event["error"]["status"] == raised.value.status_code  # type: ignore[attr-defined]
    assert event["messages"] == HELLO
    assert (event["choices"], event["usage"], event.get("cost_usd")) == ([], None, None)


async def test_an_error_of_an_async_call(api: Server, to: Any, recorder: Recorder) -> None:
    api.will(server.error(429))
    with pytest.raises(litellm.RateLimitError), streamgauge.prompt("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, **to)
    [event] = await arrived_async(recorder)
    assert (event["error"]["type"], event["error"]["status"], event["prompt_version"]) == ("RateLimitError", 429, "v7")


def test_a_connection_that_breaks_has_its_error(api: Server, to: Any, recorder: Recorder) -> None:
    api.will(Reply.stream(server.chunks(server.completion())[:3], cut=True))
    with pytest.raises(Exception, match=r"peer closed|Connection"):
        list(litellm.completion(messages=HELLO, stream=True, **to))
    [event] = arrived(recorder)
    assert event["error"]["type"]
    assert event["messages"] == HELLO


async def test_an_answer_from_the_cache_costs_nothing_and_says_so(
    to: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    with streamgauge.prompt("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, caching=True, **to)
        await arrived_async(recorder, 1)
        await litellm.acompletion(messages=HELLO, caching=True, **to)
    first, second = await arrived_async(recorder, 2)
    assert "cache_hit" not in first["labels"]
    assert second["labels"]["cache_hit"] == "true"
    assert (first["cost_usd"] > 0, second["cost_usd"]) == (True, 0.0)
    assert second["prompt_version"] == "v7"


async def test_a_router_names_its_group_and_tells_of_the_call_that_was_answered(
    api: Server, to: Any, recorder: Recorder
) -> None:
    group = {"model_name": "doctor", "litellm_params": to}
    router = litellm.Router(model_list=[group], num_retries=0)
    await router.acompletion(model="doctor", messages=HELLO)
    [event] = await arrived_async(recorder)
    assert event["labels"]["model_group"] == "doctor"
    assert (event["request_model"], event["response_model"]) == (MODEL, MODEL)
    router.discard()


def test_an_error_of_ours_never_reaches_the_host(to: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recorder.stats.integration_errors
    monkeypatch.setattr(litellm_payload, "request", _broken)
    monkeypatch.setattr(integration, "_remember", _broken)
    with streamgauge.prompt("triage"):
        assert litellm.completion(messages=HELLO, **to).choices[0].message.content == server.ANSWER
    pause, deadline = threading.Event(), time.monotonic() + 20
    while recorder.stats.integration_errors < before + 2 and time.monotonic() < deadline:
        pause.wait(0.005)
    assert recorder.stats.integration_errors == before + 2
    assert recorder.events == []


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("ours")


def test_calls_that_are_never_told_of_leave_a_bounded_number_of_contexts(logger: StreamgaugeLogger) -> None:
    with streamgauge.prompt("triage"):
        for n in range(integration.REMEMBERED + 100):
            logger.log_pre_api_call(MODEL, HELLO, {"litellm_call_id": str(n)})
    assert len(logger._contexts) == integration.REMEMBERED

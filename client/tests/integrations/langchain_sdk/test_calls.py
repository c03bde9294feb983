"""Conversion of calls of LangChain models."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from langchain_core.caches import InMemoryCache
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai import ChatOpenAI, OpenAI
from langchain_sdk.call_styles import ANSWERED, MODEL, USAGE, chat
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations import langchain_requests
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder


def test_a_call_of_a_chat_model_is_one_complete_event(
    api: Server, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    model = chat(api, handler, temperature=0.25, max_tokens=64)
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage("How many?", name="ann")])
    [event] = recorder.events
    assert answer.text == server.ANSWER
    assert event["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many?", "name": "ann"},
    ]
    assert event["choices"] == ANSWERED
    assert event["usage"] == USAGE
    assert (event["provider"], event["request_model"], event["response_model"]) == ("openai", MODEL, MODEL)
    assert event["system_fingerprint"] == "fp_44709d6fcb"
    assert event["parameters"] == {"temperature": 0.25, "max_completion_tokens": 64}
    assert event["latency_ms"] > 0
    assert "error" not in event


def test_run_metadata_names_prompt_conversation_and_user(model: ChatOpenAI, recorder: Recorder) -> None:
    metadata = {"prompt_name": "triage", "prompt_version": 7, "thread_id": "c-1", "user_id": "u-9", "team": "er"}
    model.invoke("hello", {"metadata": metadata, "tags": ["beta", "uk"], "run_name": "ask"})
    [event] = recorder.events
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "7")
    assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")
    assert event["tags"] | {"team": "er", "tags": "beta,uk", "run": "ask"} == event["tags"]
    assert not any(name.startswith(("ls_", "lc_")) for name in event["tags"])


@pytest.mark.parametrize("key", ["session_id", "conversation_id"])
def test_metadata_may_name_the_conversation_differently(model: ChatOpenAI, recorder: Recorder, key: str) -> None:
    model.invoke("hello", {"metadata": {key: "c-2"}})
    assert [event["conversation_id"] for event in recorder.events] == ["c-2"]


def test_the_context_applies_where_the_run_has_no_metadata(model: ChatOpenAI, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7", conversation_id="c-1"):
        model.invoke("hello")
        model.invoke("hello", {"metadata": {"prompt_name": "other", "prompt_version": "v1"}})
    first, second = recorder.events
    assert (first["prompt_name"], first["prompt_version"], first["conversation_id"]) == ("triage", "v7", "c-1")
    assert (second["prompt_name"], second["prompt_version"], second["conversation_id"]) == ("other", "v1", "c-1")


def test_each_input_of_a_batch_on_threads_is_an_event(model: ChatOpenAI, recorder: Recorder) -> None:
    inputs: Any = [f"question {n}" for n in range(8)]
    with streamgauge.context("triage", version="v7", conversation_id="c-1"):
        model.batch(inputs, {"max_concurrency": 4})
    events = recorder.events
    assert sorted(event["messages"][0]["content"] for event in events) == inputs
    assert {(e["prompt_version"], e["conversation_id"], e["usage"]["input_tokens"]) for e in events} == {
        ("v7", "c-1", 19)
    }
    assert len({event["tags"]["run_id"] for event in events}) == 8


async def test_each_input_of_an_async_batch_is_an_event(model: ChatOpenAI, recorder: Recorder) -> None:
    await model.abatch(["a", "b", "c"])
    assert sorted(event["messages"][0]["content"] for event in recorder.events) == ["a", "b", "c"]


def test_a_cache_hit_costs_nothing_and_has_a_tag(api: Server, handler: StreamgaugeHandler, recorder: Recorder) -> None:
    model = chat(api, handler, cache=InMemoryCache())
    model.invoke("hello")
    model.invoke("hello")
    first, second = recorder.events
    assert len(api.requests) == 1
    assert ("cost_usd" in first, "cache_hit" in first["tags"]) == (False, False)
    assert (second["cost_usd"], second["tags"]["cache_hit"]) == (0.0, "true")
    assert first["choices"] == second["choices"]


def test_several_choices(api: Server, model: ChatOpenAI, recorder: Recorder) -> None:
    scored = server.choice("Two.", index=1, finish_reason="length", logprobs=[("Two", -0.5), (".", -0.25)])
    api.will(Reply.of(server.completion(server.choice("One."), scored)))
    model.generate([[HumanMessage("?")]], n=2)
    [event] = recorder.events
    assert event["choices"] == [
        {"content": "One.", "finish_reason": "stop"},
        {"content": "Two.", "finish_reason": "length", "logprobs": [-0.5, -0.25]},
    ]
    assert event["usage"] == USAGE
    assert event["parameters"]["n"] == 2


def test_tool_calls_and_their_results(api: Server, model: ChatOpenAI, recorder: Recorder) -> None:
    asked = server.choice(
        None, finish_reason="tool_calls", tools=[("t1", "dose", '{"kg":20}'), ("t2", "dose", '{"kg"')]
    )
    api.will(Reply.of(server.completion(asked)), Reply.stream(server.chunks(server.completion(asked))))
    tool = {"type": "function", "function": {"name": "dose", "parameters": {"type": "object", "properties": {}}}}
    bound = model.bind_tools([tool])
    answer = bound.invoke("How much?")
    list(bound.stream("How much?"))
    model.invoke([HumanMessage("How much?"), answer, ToolMessage("200 mg", tool_call_id="t1")])
    whole, streamed, told = recorder.events
    calls = [
        {"id": "t1", "name": "dose", "arguments": '{"kg":20}'},
        {"id": "t2", "name": "dose", "arguments": '{"kg"'},
    ]
    assert whole["choices"] == [{"content": "", "finish_reason": "tool_calls", "tool_calls": calls}]
    assert streamed["choices"][0]["tool_calls"][0] == calls[0]
    assert streamed["ttft_ms"] > 0
    assert whole["parameters"]["tools"] == ["dose"]
    assert told["messages"][1] == {"role": "assistant", "content": "", "tool_calls": calls}
    assert told["messages"][2] == {"role": "tool", "content": "200 mg", "tool_call_id": "t1"}


def test_parts_without_text_become_a_marker(model: ChatOpenAI, recorder: Recorder) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    model.invoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "What is this?\n[image]"}]


def test_a_completion_model(api: Server, handler: StreamgaugeHandler, recorder: Recorder) -> None:
    model = OpenAI(
        model="gpt-3.5-turbo-instruct",
        base_url=f"{api.url}/v1",
        api_key=lambda: "key",
        max_retries=0,
        temperature=0.5,
        logprobs=1,
        callbacks=[handler],
    )
    with streamgauge.context("triage", version="v7"):
        assert model.invoke("How many?") == server.ANSWER
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "How many?"}]
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "length", "logprobs": [-0.5, -0.25]}]
    assert (event["usage"]["input_tokens"], event["usage"]["output_tokens"]) == (19, 12)
    assert (event["request_model"], event["prompt_version"]) == ("gpt-3.5-turbo-instruct", "v7")
    assert event["parameters"]["temperature"] == 0.5


def test_messages_of_every_class_have_a_known_role() -> None:
    given = [
        SystemMessage("a", additional_kwargs={"__openai_role__": "developer"}),
        AIMessage("b"),
        AIMessageChunk(content="c"),
        ChatMessage(content="d", role="critic"),
        FunctionMessage(content="e", name="f"),
    ]
    roles = [message["role"] for message in langchain_requests.messages(given)]
    assert roles == ["developer", "assistant", "assistant", "user", "tool"]

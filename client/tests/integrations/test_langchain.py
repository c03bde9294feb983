"""LangChain models, streams, batches and errors, against a local server of the OpenAI API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
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
from langchain_core.tracers import context
from langchain_openai import ChatOpenAI, OpenAI
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations import langchain_answers, langchain_requests
from streamgauge.integrations.langchain import StreamgaugeHandler, install
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
MODEL = "gpt-4o-mini"
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
ANSWERED = [{"content": server.ANSWER, "finish_reason": "stop"}]
ABANDONED = "abandoned"


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def handler(recorder: Recorder) -> Iterator[StreamgaugeHandler]:
    watching = StreamgaugeHandler(recorder)
    yield watching
    assert len(watching._runs) == 0, "each run that began has ended"


@pytest.fixture
def model(api: Server, handler: StreamgaugeHandler) -> ChatOpenAI:
    return chat(api, handler)


def chat(api: Server, handler: StreamgaugeHandler | None = None, **more: Any) -> ChatOpenAI:
    callbacks = {"callbacks": [handler]} if handler else {}
    settings = {"model": MODEL, "max_retries": 0, "stream_usage": True, **callbacks, **more}
    return ChatOpenAI(base_url=f"{api.url}/v1", api_key=lambda: "key", **settings)


def test_a_call_of_a_chat_model_is_an_event_with_all_its_parts(
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
    assert event["labels"] | {"team": "er", "tags": "beta,uk", "run": "ask"} == event["labels"]
    assert not any(name.startswith(("ls_", "lc_")) for name in event["labels"])


@pytest.mark.parametrize("key", ["session_id", "conversation_id"])
def test_other_names_of_a_conversation(model: ChatOpenAI, recorder: Recorder, key: str) -> None:
    model.invoke("hello", {"metadata": {key: "c-2"}})
    assert [event["conversation_id"] for event in recorder.events] == ["c-2"]


def test_the_context_names_what_the_run_does_not(model: ChatOpenAI, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7", conversation_id="c-1"):
        model.invoke("hello")
        model.invoke("hello", {"metadata": {"prompt_name": "other", "prompt_version": "v1"}})
    first, second = recorder.events
    assert (first["prompt_name"], first["prompt_version"], first["conversation_id"]) == ("triage", "v7", "c-1")
    assert (second["prompt_name"], second["prompt_version"], second["conversation_id"]) == ("other", "v1", "c-1")


def test_a_stream_is_one_event_with_its_time_to_the_first_token(model: ChatOpenAI, recorder: Recorder) -> None:
    texts = [chunk.text for chunk in model.stream("hello")]
    [event] = recorder.events
    assert "".join(texts) == server.ANSWER
    assert event["choices"] == ANSWERED
    assert event["usage"] == USAGE
    assert event["response_model"] == MODEL
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


async def test_async_calls_keep_the_context(model: ChatOpenAI, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7"):
        await model.ainvoke("hello")
        assert "".join([chunk.text async for chunk in model.astream("again")]) == server.ANSWER
    whole, streamed = recorder.events
    assert whole["choices"] == streamed["choices"] == ANSWERED
    assert whole["usage"] == streamed["usage"] == USAGE
    assert {e["prompt_version"] for e in (whole, streamed)} == {"v7"}
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)


def test_each_input_of_a_batch_on_threads_is_an_event(model: ChatOpenAI, recorder: Recorder) -> None:
    inputs: Any = [f"question {n}" for n in range(8)]
    with streamgauge.prompt("triage", version="v7", conversation_id="c-1"):
        model.batch(inputs, {"max_concurrency": 4})
    events = recorder.events
    assert sorted(event["messages"][0]["content"] for event in events) == inputs
    assert {(e["prompt_version"], e["conversation_id"], e["usage"]["input_tokens"]) for e in events} == {
        ("v7", "c-1", 19)
    }
    assert len({event["labels"]["run_id"] for event in events}) == 8


async def test_each_input_of_an_async_batch_is_an_event(model: ChatOpenAI, recorder: Recorder) -> None:
    await model.abatch(["a", "b", "c"])
    assert sorted(event["messages"][0]["content"] for event in recorder.events) == ["a", "b", "c"]


def test_an_answer_from_the_cache_costs_nothing_and_says_so(
    api: Server, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    model = chat(api, handler, cache=InMemoryCache())
    model.invoke("hello")
    model.invoke("hello")
    first, second = recorder.events
    assert len(api.requests) == 1
    assert ("cost_usd" in first, "cache_hit" in first["labels"]) == (False, False)
    assert (second["cost_usd"], second["labels"]["cache_hit"]) == (0.0, "true")
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


def test_what_is_no_text_leaves_a_marker(model: ChatOpenAI, recorder: Recorder) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    model.invoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "What is this?\n[image]"}]


def test_content_blocks_of_the_responses_api(api: Server, handler: StreamgaugeHandler, recorder: Recorder) -> None:
    model = chat(api, handler, use_responses_api=True, output_version="v1")
    model.invoke("hello")
    text = "".join(chunk.text for chunk in model.stream("hello"))
    whole, streamed = recorder.events
    usage = {"input_tokens": 40, "output_tokens": 25, "cached_tokens": 16, "reasoning_tokens": 18}
    assert text == whole["choices"][0]["content"] == streamed["choices"][0]["content"] == server.ANSWER
    assert whole["usage"] == streamed["usage"] == usage
    assert streamed["ttft_ms"] > 0


def test_stream_events_of_the_third_version(model: ChatOpenAI, recorder: Recorder) -> None:
    events: list[Any] = list(model.stream_events("hello", version="v3"))
    deltas = [e["delta"]["text"] for e in events if e["event"] == "content-block-delta"]
    [event] = recorder.events
    assert "".join(deltas) == server.ANSWER
    assert event["choices"] == ANSWERED
    assert event["usage"] == USAGE
    assert event["ttft_ms"] > 0


async def test_stream_events_of_the_second_version(model: ChatOpenAI, recorder: Recorder) -> None:
    names = [e["event"] async for e in model.astream_events("hello", version="v2")]
    assert names[-1] == "on_chat_model_end"
    assert [event["choices"] for event in recorder.events] == [ANSWERED]


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_host_gets_the_librarys_error_and_the_event_has_it(
    api: Server, model: ChatOpenAI, recorder: Recorder, status: int
) -> None:
    api.will(server.error(status), server.error(status))
    with pytest.raises(Exception, match=str(status)) as raised:
        model.invoke("hello")
    with pytest.raises(type(raised.value)):
        list(model.stream("hello"))
    for event in recorder.events:
        assert event["error"]["type"] == type(raised.value).__name__
        assert event["error"]["status"] == status
        assert event["choices"] == []
        assert event["messages"] == [{"role": "user", "content": "hello"}]


async def test_an_error_in_an_async_batch_is_told_beside_the_answers(
    api: Server, model: ChatOpenAI, recorder: Recorder
) -> None:
    api.will(server.error(400))
    results = await model.abatch(["a", "b"], {"max_concurrency": 1}, return_exceptions=True)
    failed, answered = recorder.events
    assert isinstance(results[0], Exception)
    assert (failed["error"]["status"], answered["choices"]) == (400, ANSWERED)


def test_a_connection_that_breaks_leaves_the_part_that_came_and_the_error(
    api: Server, model: ChatOpenAI, recorder: Recorder
) -> None:
    api.will(Reply.stream(server.chunks(server.completion())[:3], cut=True))
    with pytest.raises(Exception, match=r"peer closed|Connection") as raised:
        list(model.stream("hello"))
    [event] = recorder.events
    assert event["choices"] == [{"content": "Take two", "finish_reason": None}]
    assert event["error"]["type"] == type(raised.value).__name__


def test_a_stream_that_the_host_leaves_is_published_as_far_as_it_came(model: ChatOpenAI, recorder: Recorder) -> None:
    for chunk in model.stream("hello"):
        if chunk.text:
            break
    [event] = recorder.events
    assert event["choices"] == [{"content": "Take", "finish_reason": None}]
    assert event["labels"]["stream"] == ABANDONED
    assert "error" not in event


async def test_an_async_stream_that_the_host_leaves_is_abandoned(model: ChatOpenAI, recorder: Recorder) -> None:
    stream = model.astream("hello")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    assert [event["labels"]["stream"] for event in recorder.events] == [ABANDONED]


async def test_a_call_that_is_cancelled_has_that_error(api: Server, model: ChatOpenAI, recorder: Recorder) -> None:
    held = threading.Event()
    api.will(Reply.of(server.completion(), hold=held))
    task = asyncio.create_task(model.ainvoke("hello"))
    await asyncio.to_thread(api.wait_for, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    assert [event["error"]["type"] for event in recorder.events] == ["CancelledError"]


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
    with streamgauge.prompt("triage", version="v7"):
        assert model.invoke("How many?") == server.ANSWER
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "How many?"}]
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "length", "logprobs": [-0.5, -0.25]}]
    assert (event["usage"]["input_tokens"], event["usage"]["output_tokens"]) == (19, 12)
    assert (event["request_model"], event["prompt_version"]) == ("gpt-3.5-turbo-instruct", "v7")
    assert event["parameters"]["temperature"] == 0.5


def test_a_stream_that_is_never_read_to_its_end_is_published_when_it_is_forgotten(
    api: Server, recorder: Recorder
) -> None:
    handler = StreamgaugeHandler(recorder, max_runs=1)
    model = chat(api, handler)
    events = iter(model.stream_events("first", version="v3"))
    while next(events)["event"] != "content-block-delta":
        assert recorder.events == []
    model.invoke("second")
    lost, answered = recorder.events
    assert (lost["choices"][0]["content"], lost["labels"]["stream"]) == ("Take", ABANDONED)
    assert answered["choices"] == ANSWERED


def test_installed_it_watches_every_run_and_only_once(
    api: Server, handler: StreamgaugeHandler, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "_configure_hooks", list(context._configure_hooks))
    everywhere = Recorder(tenant="clinic", app="all")
    install(everywhere)
    chat(api).invoke("hello")
    chat(api, handler).invoke("hello")
    assert [len(everywhere.events), len(recorder.events)] == [1, 1]


def test_an_error_of_ours_never_reaches_the_host(
    model: ChatOpenAI, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = recorder.stats.integration_errors
    for name in ("request", "messages"):
        monkeypatch.setattr(langchain_requests, name, _broken)
    for name in ("answer", "spoken"):
        monkeypatch.setattr(langchain_answers, name, _broken)
    assert model.invoke("hello").text == server.ANSWER
    assert "".join(chunk.text for chunk in model.stream("hello")) == server.ANSWER
    assert len(recorder.events) == 2
    assert recorder.stats.integration_errors > before
    assert not [r for r in caplog.records if r.name.startswith("langchain")]


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("ours")


def test_messages_of_every_kind_have_a_role_the_monitor_knows() -> None:
    given = [
        SystemMessage("a", additional_kwargs={"__openai_role__": "developer"}),
        AIMessage("b"),
        AIMessageChunk(content="c"),
        ChatMessage(content="d", role="critic"),
        FunctionMessage(content="e", name="f"),
    ]
    roles = [message["role"] for message in langchain_requests.messages(given)]
    assert roles == ["developer", "assistant", "assistant", "user", "tool"]

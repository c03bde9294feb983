"""Stream interfaces of LangChain."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import ABANDONED, ANSWERED, MODEL, USAGE, chat
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


def test_a_stream_is_one_event_with_its_time_to_the_first_token(model: ChatOpenAI, recorder: Recorder) -> None:
    texts = [chunk.text for chunk in model.stream("hello")]
    [event] = recorder.events
    assert "".join(texts) == server.ANSWER
    assert event["choices"] == ANSWERED
    assert event["usage"] == USAGE
    assert event["response_model"] == MODEL
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


async def test_async_calls_keep_the_context(model: ChatOpenAI, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7"):
        await model.ainvoke("hello")
        assert "".join([chunk.text async for chunk in model.astream("again")]) == server.ANSWER
    whole, streamed = recorder.events
    assert whole["choices"] == streamed["choices"] == ANSWERED
    assert whole["usage"] == streamed["usage"] == USAGE
    assert {e["prompt_version"] for e in (whole, streamed)} == {"v7"}
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)


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


def test_an_unfinished_stream_is_published_when_its_run_is_evicted(api: Server, recorder: Recorder) -> None:
    handler = StreamgaugeHandler(recorder, max_runs=1)
    model = chat(api, handler)
    events = iter(model.stream_events("first", version="v3"))
    while next(events)["event"] != "content-block-delta":
        assert recorder.events == []
    model.invoke("second")
    lost, answered = recorder.events
    assert (lost["choices"][0]["content"], lost["tags"]["stream"]) == ("Take", ABANDONED)
    assert answered["choices"] == ANSWERED

"""Streams, async calls, and the Responses API."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from litellm_sdk.call_styles import COST, HELLO, USAGE, arrived, arrived_async, litellm, nonempty_choices
from servers import openai as server
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM warns in many places, of nothing that is ours


def test_a_stream_is_one_event_with_its_time_to_the_first_token(to: Any, recorder: Recorder) -> None:
    stream = litellm.completion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **to)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == server.ANSWER
    [event] = arrived(recorder)
    assert nonempty_choices(event) == [{"content": server.ANSWER, "finish_reason": "stop"}]
    assert event["usage"] == USAGE
    assert event["cost_usd"] == pytest.approx(COST)
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


async def test_async_calls_whole_and_streamed(to: Any, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, **to)
        stream = await litellm.acompletion(messages=HELLO, stream=True, stream_options={"include_usage": True}, **to)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    whole, streamed = await arrived_async(recorder, 2)
    assert text == whole["choices"][0]["content"] == streamed["choices"][0]["content"] == server.ANSWER
    assert whole["usage"] == streamed["usage"] == USAGE
    assert {event["prompt_version"] for event in (whole, streamed)} == {"v7"}
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)


def test_the_responses_api(to: Any, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7"):
        litellm.responses(input="hello", instructions="Be brief.", **to)
        list(litellm.responses(input="hello", stream=True, **to))
    whole, streamed = arrived(recorder, 2)
    usage = {"input_tokens": 40, "output_tokens": 25, "cached_tokens": 16, "reasoning_tokens": 18}
    assert whole["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert whole["choices"][0]["content"] == streamed["choices"][0]["content"] == server.ANSWER
    assert whole["usage"] == streamed["usage"] == usage
    assert [event["prompt_version"] for event in (whole, streamed)] == ["v7", "v7"]
    assert streamed["ttft_ms"] > 0


def test_an_abandoned_stream_is_not_reported_by_litellm(to: Any, recorder: Recorder) -> None:
    stream = litellm.completion(messages=HELLO, stream=True, **to)
    next(iter(stream))
    stream.close()
    litellm.completion(messages=[{"role": "user", "content": "after it"}], **to)
    [event] = arrived(recorder)
    assert event["messages"][0]["content"] == "after it"

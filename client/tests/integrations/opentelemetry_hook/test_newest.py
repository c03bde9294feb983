"""The hook with newer instrumentations: OpenAI's Responses API, and Anthropic."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from servers import anthropic as anthropic_server
from servers import openai as openai_server
from servers import openai_responses as responses
from servers.local import Reply
from streamgauge.integrations.otel_hook import StreamgaugeHook
from streamgauge.testing import Recorder

pytest.importorskip(
    "opentelemetry.instrumentation.genai",
    reason="make test-client-otel has them: they need a newer opentelemetry-util-genai than openai-v2 works with",
)

from anthropic import Anthropic
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider

ASKED: Any = [{"role": "user", "content": "How many?"}]


@pytest.fixture
def openai(recorder: Recorder) -> Iterator[OpenAI]:
    for _ in instrument("openai", "OpenAIInstrumentor", recorder):
        with openai_server.serve() as api, OpenAI(base_url=f"{api.url}/v1", api_key="key") as client:
            client.api = api  # type: ignore[attr-defined]
            yield client


@pytest.fixture
def anthropic(recorder: Recorder) -> Iterator[Anthropic]:
    for _ in instrument("anthropic", "AnthropicInstrumentor", recorder):
        with anthropic_server.serve() as api, Anthropic(base_url=api.url, api_key="key") as client:
            yield client


def instrument(name: str, kind: str, recorder: Recorder) -> Iterator[None]:
    instrumentor = getattr(import_module(f"opentelemetry.instrumentation.genai.{name}"), kind)()
    instrumentor.instrument(tracer_provider=TracerProvider(), completion_hook=StreamgaugeHook(recorder))
    yield
    instrumentor.uninstrument()


def test_the_steps_of_a_response_are_one_choice(openai: OpenAI, recorder: Recorder) -> None:
    call = responses.function_call("c-1", "dose", '{"of": "aspirin"}')
    whole = responses.response(responses.REASONING, responses.message(), call)
    openai.api.will(Reply.of(whole))  # type: ignore[attr-defined]
    openai.responses.create(model="gpt-5.2", input="How many?", instructions="Be brief.")
    (event,) = recorder.events
    assert event["messages"] == [{"role": "system", "content": "Be brief."}, *ASKED]
    (choice,) = event["choices"]
    assert choice["content"] == "Take two tablets."
    assert choice["tool_calls"] == [{"id": "c-1", "name": "dose", "arguments": '{"of":"aspirin"}'}]
    assert event["usage"] == {"input_tokens": 40, "output_tokens": 25, "cached_tokens": 16, "reasoning_tokens": 18}


def test_a_response_streamed(openai: OpenAI, recorder: Recorder) -> None:
    assert list(openai.responses.create(model="gpt-5.2", input="How many?", stream=True))
    (event,) = recorder.events
    assert event["choices"][0]["content"] == "Take two tablets."
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_counts_cached_tokens_as_input(anthropic: Anthropic, recorder: Recorder, stream: bool) -> None:
    asked: Any = {"model": anthropic_server.MODEL, "max_tokens": 64, "messages": ASKED, "system": "Be brief."}
    answer = anthropic.messages.create(**asked, stream=stream)
    assert not stream or list(answer)
    (event,) = recorder.events
    assert (event["provider"], event["request_model"]) == ("anthropic", anthropic_server.MODEL)
    assert event["messages"] == [{"role": "system", "content": "Be brief."}, *ASKED]
    assert event["choices"][0]["content"] == "Take two tablets."
    assert event["usage"]["input_tokens"] == 21 + 100 + 2000
    assert event["usage"]["cached_tokens"] == 2000

"""OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=streamgauge, with OpenTelemetry's instrumentations of the OpenAI SDK."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import streamgauge
from servers import openai as server
from servers.local import Server
from servers.monitor import listening
from streamgauge.guard import integration_errors
from streamgauge.integrations.otel_hook import StreamgaugeHook
from streamgauge.testing import Recorder

pytest.importorskip("opentelemetry.util.genai")

from openai import AsyncOpenAI, OpenAI, RateLimitError
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.genai.completion_hook import load_completion_hook

NAMES = ("opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.genai.openai")


def installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


INSTRUMENTATIONS = [name for name in NAMES if installed(name)]
HOOK = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"
MODEL = "gpt-5.2"
ASKED: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many?"}]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "dose", "parameters": {"type": "object"}}}
CALLED: list[Any] = [
    *ASKED,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "t-1", "type": "function", "function": {"name": "dose", "arguments": '{"of": "ibuprofen"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "t-1", "content": "200 mg"},
]


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    made = TracerProvider(resource=Resource.create({"service.name": "ward-7"}))
    made.add_span_processor(SimpleSpanProcessor(spans))
    return made


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The default publisher: the hook is loaded by its name and told nothing else."""
    errors_before, one = integration_errors.value(), Recorder(tenant="clinic")
    monkeypatch.setattr("streamgauge.defaults._default", one)
    yield one
    one.close()
    assert integration_errors.value() == errors_before


@pytest.fixture(params=INSTRUMENTATIONS)
def instrumented(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, recorder: Recorder, provider: TracerProvider
) -> Iterator[str]:
    monkeypatch.setenv(HOOK, "streamgauge")
    yield from instrument(request.param, tracer_provider=provider)


def instrument(name: str, **how: Any) -> Iterator[str]:
    instrumentor = import_module(name).OpenAIInstrumentor()
    instrumentor.instrument(**how)
    yield name
    instrumentor.uninstrument()


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def client(api: Server, instrumented: str) -> Iterator[OpenAI]:
    with openai(api) as one:
        yield one


def openai(api: Server) -> OpenAI:
    return OpenAI(base_url=f"{api.url}/v1", api_key="key", max_retries=0)


def newest(instrumented: str) -> bool:
    return instrumented != "opentelemetry.instrumentation.openai_v2"


def test_the_name_in_the_environment_loads_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOOK, "streamgauge")
    assert isinstance(load_completion_hook()._wrapped, StreamgaugeHook)  # type: ignore[attr-defined]


def test_a_call_is_one_event(
    client: OpenAI, recorder: Recorder, spans: InMemorySpanExporter, instrumented: str
) -> None:
    client.chat.completions.create(model=MODEL, messages=ASKED, temperature=0.25, max_tokens=64, seed=7)
    (event,), (span,) = recorder.events, spans.get_finished_spans()
    assert event["messages"] == ASKED
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "stop"}]
    assert (event["provider"], event["request_model"], event["response_model"]) == ("openai", MODEL, MODEL)
    assert event["system_fingerprint"] == "fp_44709d6fcb"
    assert event["parameters"] == {"temperature": 0.25, "max_tokens": 64, "seed": 7}
    details = {"cached_tokens": 8, "reasoning_tokens": 5} if newest(instrumented) else {}
    assert event["usage"] == {"input_tokens": 19, "output_tokens": 12, **details}
    assert (event["trace_id"], event["span_id"]) == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert event["response_id"] == "chatcmpl-1"


def test_times_are_those_of_the_span(client: OpenAI, recorder: Recorder, spans: InMemorySpanExporter) -> None:
    client.chat.completions.create(model=MODEL, messages=ASKED)
    (event,), (span,) = recorder.events, spans.get_finished_spans()
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < event["latency_ms"] <= (span.end_time - span.start_time) / 1e6
    assert datetime.fromisoformat(event["time"]).timestamp() == pytest.approx(span.start_time / 1e9, abs=1e-5)


def test_spans_need_no_message_content(client: OpenAI, recorder: Recorder, spans: InMemorySpanExporter) -> None:
    client.chat.completions.create(model=MODEL, messages=ASKED)
    assert recorder.events[0]["messages"] == ASKED
    assert "How many?" not in spans.get_finished_spans()[0].to_json()


def test_a_stream_is_one_event(client: OpenAI, recorder: Recorder, instrumented: str) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    (event,) = recorder.events
    assert text == event["choices"][0]["content"] == server.ANSWER
    assert event["choices"][0]["finish_reason"] == "stop"
    assert event["usage"]["output_tokens"] == 12
    assert event["tags"] == {}
    if newest(instrumented):
        assert 0 < event["ttft_ms"] <= event["latency_ms"]
        assert event["parameters"] == {"stream": True}


def test_an_abandoned_stream_is_published_so_far(client: OpenAI, recorder: Recorder) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()
    (event,) = recorder.events
    assert event["choices"] == [{"content": "Take", "finish_reason": None}]
    assert event["tags"] == {"stream": "abandoned"}
    assert "error" not in event


def test_tool_calls_and_their_results(client: OpenAI, api: Server, recorder: Recorder, instrumented: str) -> None:
    wish = server.choice(None, finish_reason="tool_calls", tools=[("t-2", "dose", '{"of": "aspirin", "mg": 500}')])
    api.will(server.chat(server.completion(wish), {}))
    client.chat.completions.create(model=MODEL, messages=CALLED, tools=[TOOL])  # type: ignore[list-item]
    (event,) = recorder.events
    assert event["messages"][2:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "t-1", "name": "dose", "arguments": '{"of":"ibuprofen"}'}],
        },
        {"role": "tool", "content": "200 mg", "tool_call_id": "t-1"},
    ]
    (choice,) = event["choices"]
    assert choice["tool_calls"] == [{"id": "t-2", "name": "dose", "arguments": '{"of":"aspirin","mg":500}'}]
    assert choice["finish_reason"] == "tool_calls"
    assert event["parameters"] == ({"tools": ["dose"]} if newest(instrumented) else {})


def test_tool_calls_in_a_stream(client: OpenAI, api: Server, recorder: Recorder) -> None:
    wish = server.choice(None, finish_reason="tool_calls", tools=[("t-2", "dose", '{"of": "aspirin"}')])
    api.will(server.chat(server.completion(wish), {"stream": True}))
    assert list(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
    (choice,) = recorder.events[0]["choices"]
    assert choice["tool_calls"] == [{"id": "t-2", "name": "dose", "arguments": '{"of":"aspirin"}'}]


def test_several_responses_are_several_choices(client: OpenAI, api: Server, recorder: Recorder) -> None:
    two = server.completion(server.choice("Two."), server.choice("Three.", index=1, finish_reason="length"))
    api.will(server.chat(two, {}))
    client.chat.completions.create(model=MODEL, messages=ASKED, n=2)
    (event,) = recorder.events
    assert [(one["content"], one["finish_reason"]) for one in event["choices"]] == [
        ("Two.", "stop"),
        ("Three.", "length"),
    ]
    assert event["parameters"] == {"n": 2}


def test_an_error_is_published_and_raised(client: OpenAI, api: Server, recorder: Recorder) -> None:
    api.will(server.error(429))
    with pytest.raises(RateLimitError) as raised:
        client.chat.completions.create(model=MODEL, messages=ASKED)
    (event,) = recorder.events
    assert event["error"] == {"type": "RateLimitError", "message": str(raised.value), "status": 429}
    assert event["messages"] == ASKED
    assert event["choices"] == []


def test_the_async_client(instrumented: str, api: Server, recorder: Recorder) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(base_url=f"{api.url}/v1", api_key="key") as client:
            await client.chat.completions.create(model=MODEL, messages=ASKED)

    asyncio.run(ask())
    assert recorder.events[0]["choices"][0]["content"] == server.ANSWER


def test_the_context_applies(client: OpenAI, recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7", conversation_id="c-1", user_id="u-9"):
        client.chat.completions.create(model=MODEL, messages=ASKED)
    (event,) = recorder.events
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
    assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")


def test_the_app_is_the_name_of_the_service(client: OpenAI, recorder: Recorder) -> None:
    client.chat.completions.create(model=MODEL, messages=ASKED)
    with streamgauge.context("triage", app="ward-8"):
        client.chat.completions.create(model=MODEL, messages=ASKED)
    assert [event["app"] for event in recorder.events] == ["ward-7", "ward-8"]


@pytest.mark.parametrize("name", INSTRUMENTATIONS)
@pytest.mark.parametrize("emitted", [True, False])
def test_without_a_recorded_span_the_log_record_has_the_attributes(
    name: str, emitted: bool, monkeypatch: pytest.MonkeyPatch, api: Server, recorder: Recorder
) -> None:
    monkeypatch.setenv(HOOK, "streamgauge")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", str(emitted).lower())
    for _ in instrument(name):  # no tracer provider: spans are not recorded
        with openai(api) as client:
            client.chat.completions.create(model=MODEL, messages=ASKED)
    (event,) = recorder.events
    assert event["messages"] == ASKED
    assert event["choices"][0]["content"] == server.ANSWER
    assert event["latency_ms"] is None
    assert (event["request_model"], event["usage"] is not None) == (MODEL if emitted else "", emitted)


def test_other_operations_are_not_published(recorder: Recorder, provider: TracerProvider) -> None:
    for operation in ("invoke_agent", "invoke_workflow", "embeddings", "chat"):
        span = provider.get_tracer("t").start_span("s", attributes={"gen_ai.operation.name": operation})
        StreamgaugeHook().on_completion(inputs=[], outputs=[], system_instruction=[], span=span)
    assert len(recorder.events) == 1


@pytest.mark.parametrize("name", INSTRUMENTATIONS)
def test_a_service_without_our_code_publishes(name: str, api: Server, tmp_path: Path) -> None:
    service = tmp_path / "service.py"
    service.write_text(
        "from openai import OpenAI\n"
        f"OpenAI(base_url='{api.url}/v1', api_key='key').chat.completions.create(model='{MODEL}', messages={ASKED!r})\n"
    )
    with listening() as monitor:
        environment = {
            **os.environ,
            HOOK: "streamgauge",
            "STREAMGAUGE_URL": monitor.url,
            "STREAMGAUGE_TENANT": "clinic",
            "OTEL_SERVICE_NAME": "ward-7",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        command = Path(sys.executable).with_name("opentelemetry-instrument")
        done = subprocess.run(
            [command, sys.executable, service], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    (event,) = monitor.events
    assert (event["tenant"], event["app"], event["request_model"]) == ("clinic", "ward-7", MODEL)
    assert event["messages"] == ASKED
    assert event["usage"]["input_tokens"] == 19

"""The SDK's own OpenTelemetry spans are unchanged; they end with the response body, which the client taps too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamgauge
from anthropic import Anthropic
from anthropic_sdk.call_styles import STREAMS, UNARY
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from published import only
from servers.local import Server
from streamgauge.testing import Recorder

TOOK = "gen_ai.response.time_to_first_chunk"


def comparable(span: ReadableSpan) -> Any:
    attributes = {name: name == TOOK or value for name, value in (span.attributes or {}).items()}
    return span.name, span.status.status_code, attributes, [event.name for event in span.events]


@pytest.mark.parametrize("use", UNARY + STREAMS)
def test_spans_of_the_sdk_are_unchanged(server: Server, published: Recorder, use: Callable[[Anthropic], Any]) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    with Anthropic(
        base_url=server.url,
        api_key="key",
        open_telemetry={"tracer_provider": provider, "traces": {"content_mode": "content"}},
    ) as client:
        expected = use(client)
        streamgauge.instrument(client, published)
        assert use(client) == expected
    plain, instrumented = exported.get_finished_spans()
    assert comparable(instrumented) == comparable(plain)
    assert only(published)["choices"][0]["content"] == "Take two tablets."

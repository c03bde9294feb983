"""Streams, and the async client."""

from __future__ import annotations

import threading

import pytest
from google import genai
from google_genai_sdk.call_styles import MODEL, USAGE
from servers import google_genai as server
from servers.local import Reply, Server
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def test_a_stream_reaches_the_host_chunk_by_chunk_and_is_one_event(client: genai.Client, recorder: Recorder) -> None:
    stream = client.models.generate_content_stream(model=MODEL, contents="hello")
    texts = [chunk.text for chunk in stream]
    [event] = recorder.events
    assert [text for text in texts if text] == ["Take", " two", " tablets."]
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "STOP"}]
    assert event["usage"] == USAGE
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


def test_the_time_to_the_first_token_is_taken_at_the_first_token(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    held = threading.Event()
    api.will(Reply.stream(server.chunks(server.response()), hold=held))
    stream = client.models.generate_content_stream(model=MODEL, contents="hello")
    assert next(stream).text == "Take"
    assert recorder.events == []
    held.set()
    assert list(stream)
    [event] = recorder.events
    assert event["ttft_ms"] < event["latency_ms"]


async def test_the_async_client_is_instrumented_too(client: genai.Client, recorder: Recorder) -> None:
    response = await client.aio.models.generate_content(model=MODEL, contents="hello")
    texts = [
        chunk.text async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents="again")
    ]
    whole, streamed = recorder.events
    assert response.text == "".join(text or "" for text in texts) == server.ANSWER
    assert whole["choices"] == streamed["choices"] == [{"content": server.ANSWER, "finish_reason": "STOP"}]
    assert whole["usage"] == streamed["usage"] == USAGE
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)
    await client.aio.aclose()

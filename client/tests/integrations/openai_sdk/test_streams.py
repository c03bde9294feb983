"""Streams specific to the OpenAI SDK."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest
import streamgauge
from openai import OpenAI
from openai_sdk.call_styles import ASK, CHOICE, COUNTED, stream, stream_helper, stream_lines, stream_raw
from published import only
from servers import openai as api
from servers.local import Reply, Server
from servers.sse import event as sse
from streamgauge.testing import Recorder

TAKE = CHOICE | {"content": "Take", "finish_reason": None}
TAKE_TWO = CHOICE | {"content": "Take two", "finish_reason": None}


def begun(count: int, **more: Any) -> Reply:
    return Reply.stream(api.chunks(api.completion())[:count], **more)


def test_an_error_in_the_middle_of_a_stream_is_published(server: Server, published: Recorder, client: OpenAI) -> None:
    failure = {"message": "The server is overloaded.", "type": "server_error"}
    server.will(Reply.stream([*api.chunks(api.completion())[:3], sse({"error": failure})]))
    with pytest.raises(openai.APIError):
        stream(client)
    event = only(published)
    assert event["error"] == {"type": "APIError", "message": "The server is overloaded.", "status": None}
    assert event["choices"] == [TAKE_TWO]


def test_a_stream_closed_after_the_finish_reason_is_complete(
    server: Server, published: Recorder, client: OpenAI
) -> None:
    with client.chat.completions.create(**ASK, **COUNTED) as chunks:
        next(chunk for chunk in chunks if chunk.choices[0].finish_reason)
    event = only(published)
    assert event["tags"] == {}
    assert event["choices"] == [CHOICE]


def test_a_chunk_is_forwarded_before_the_next_arrives(server: Server, published: Recorder, client: OpenAI) -> None:
    release = threading.Event()
    server.will(Reply.stream(api.chunks(api.completion()), hold=release))
    chunks = client.chat.completions.create(**ASK, stream=True)
    words = [next(chunks).choices[0].delta.content for _ in range(4)]
    assert "".join(word or "" for word in words) == api.ANSWER
    release.set()
    list(chunks)
    assert only(published)["choices"] == [CHOICE]


def test_a_compressed_body_is_read(server: Server, published: Recorder, client: OpenAI) -> None:
    body = gzip.compress(b"".join(api.chunks(api.completion())))
    server.will(Reply.stream([body[:100], body[100:]], headers={"Content-Encoding": "gzip"}))
    assert stream_lines(client)
    event = only(published)
    assert event["choices"] == [CHOICE]
    assert event["ttft_ms"] is None


@pytest.mark.parametrize("use", [stream, stream_helper, stream_lines])
def test_a_client_with_the_older_httpx_is_instrumented(
    server: Server, published: Recorder, plain: OpenAI, use: Callable[[OpenAI], Any]
) -> None:
    expected = use(plain)
    with httpx.Client() as http:
        older = OpenAI(base_url=f"{server.url}/v1", api_key="key", http_client=http)  # type: ignore[arg-type]
        assert use(streamgauge.instrument(older, published)) == expected
    assert only(published)["choices"] == [CHOICE]


@pytest.mark.parametrize("use", [stream, stream_lines, stream_raw])
def test_a_response_of_a_mock_transport_is_read(published: Recorder, use: Callable[[OpenAI], Any]) -> None:
    body, kind = b"".join(api.chunks(api.completion())), {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=kind, content=body))
    with OpenAI(base_url="http://llm/v1", api_key="key", http_client=httpx2.Client(transport=transport)) as client:
        assert use(streamgauge.instrument(client, published))
    assert only(published)["choices"] == [CHOICE]

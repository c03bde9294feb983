"""Requests, tool calls and failures of the Ollama client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pydantic
import pytest
import streamgauge
from ollama import Client
from ollama_sdk.call_styles import MESSAGES, chat, chat_stream
from published import only
from servers import ollama as api
from servers.local import Reply, Server, unused_url
from streamgauge.testing import Recorder


@pytest.fixture
def server() -> Iterator[Server]:
    with api.serve() as running:
        yield running


@pytest.fixture
def plain(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def client(server: Server, published: Recorder) -> Iterator[Client]:
    with Client(server.url) as client:
        yield streamgauge.instrument(client, published)


def dose(drug: str) -> str:
    """Say the dose of a drug.

    Args:
        drug: its name
    """
    return drug


@pytest.mark.parametrize("stream", [False, True])
def test_tools_images_and_log_probabilities_are_converted(
    server: Server, published: Recorder, client: Client, stream: bool, tmp_path: Path
) -> None:
    image = tmp_path / "pill.png"
    image.write_bytes(b"png")
    call = {"function": {"name": "dose", "arguments": {"drug": "A"}}}
    history: list[Any] = [
        {"role": "user", "content": "This one?", "images": [str(image)]},
        ollama.Message(role="assistant", tool_calls=[ollama.Message.ToolCall(**call)]),  # type: ignore[arg-type]
        {"role": "tool", "content": "200 mg", "tool_name": "dose"},
    ]
    said = api.chat("llama3.3", "Two", tools=[("dose", {"drug": "B"})])
    said["logprobs"] = [{"token": "Two", "logprob": -0.5}]
    server.will(api.send(said, {"stream": stream}))
    answer: Any = client.chat("llama3.3", history, tools=[dose], stream=stream)  # type: ignore[call-overload]
    if stream:
        list(answer)
    event = only(published)
    assert event["messages"] == [
        {"role": "user", "content": "This one?\n[image]"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "", "name": "dose", "arguments": '{"drug":"A"}'}]},
        {"role": "tool", "content": "200 mg", "name": "dose"},
    ]
    assert event["parameters"]["tools"] == ["dose"]
    asked = {"id": "", "name": "dose", "arguments": '{"drug":"B"}'}
    assert event["choices"] == [{"content": "Two", "finish_reason": "stop", "tool_calls": [asked], "logprobs": [-0.5]}]


def test_a_refused_connection_a_timeout_and_a_wrong_argument_are_published(server: Server, published: Recorder) -> None:
    release = threading.Event()
    server.will(Reply.of(api.chat("llama3.3"), hold=release))
    with Client(unused_url()) as away, Client(server.url, timeout=0.05) as hasty:
        with pytest.raises(ConnectionError):
            chat(streamgauge.instrument(away, published))
        with pytest.raises(httpx.ReadTimeout):
            chat(streamgauge.instrument(hasty, published))
        with pytest.raises(pydantic.ValidationError):
            hasty.chat("", MESSAGES, stream=True)
    release.set()
    assert [one["error"]["type"] for one in published.events] == ["ConnectionError", "ReadTimeout", "ValidationError"]


def test_an_error_in_the_middle_of_a_stream_is_published(server: Server, published: Recorder, client: Client) -> None:
    failure = json.dumps({"error": "an error was encountered"}).encode() + b"\n"
    server.will(Reply.stream([*api.lines(api.chat("llama3.3"))[:2], failure], "application/x-ndjson"))
    with pytest.raises(ollama.ResponseError):
        chat_stream(client)
    event = only(published)
    assert event["error"]["message"].startswith("an error was encountered")
    assert event["choices"][0]["content"] == "Take two"


def test_an_unread_stream_is_not_published(server: Server, published: Recorder, client: Client) -> None:
    client.chat("llama3.3", MESSAGES, stream=True)
    assert server.requests == []
    assert published.events == []

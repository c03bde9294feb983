"""The ollama client, against a server that speaks Ollama's protocol."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
import streamgauge
from ollama import AsyncClient, Client
from published import PROMPT, bare, break_ours, only, outcome, sent, whole
from servers import ollama as api
from servers.local import Reply, Server, unused_url
from streamgauge.calls import Call
from streamgauge.guard import integration_errors
from streamgauge.integrations import _chat_completions, _stream_tap
from streamgauge.integrations import ollama as integration
from streamgauge.testing import Recorder

MESSAGES: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}]
OPTIONS: dict[str, Any] = {"temperature": 0.25, "num_predict": 64}
CHOICE: dict[str, Any] = {"content": api.ANSWER, "finish_reason": "stop", "tool_calls": [], "logprobs": None}
EVENT = whole(
    provider="ollama",
    request_model="llama3.3",
    response_model="llama3.3",
    messages=MESSAGES,
    parameters=OPTIONS,
    choices=[CHOICE],
    usage={"input_tokens": 26, "output_tokens": 9},
)
STREAMED = EVENT | {"parameters": OPTIONS | {"stream": True}}


@pytest.fixture
def server() -> Iterator[Server]:
    with api.serve() as running:
        yield running


@pytest.fixture
def published(recorder: Recorder) -> Recorder:
    return recorder


@pytest.fixture
def unwatched(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def client(server: Server, published: Recorder) -> Iterator[Client]:
    with Client(server.url) as client:
        yield streamgauge.instrument(client, published)


@pytest.fixture
async def aclient(server: Server, published: Recorder) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url) as client:
        yield streamgauge.instrument(client, published)


def chat(client: Client) -> Any:
    return client.chat("llama3.3", MESSAGES, options=OPTIONS)


def generate(client: Client) -> Any:
    return client.generate(model="llama3.3", prompt="How much?", system="Be brief.", options=ollama.Options(**OPTIONS))


def chat_stream(client: Client) -> Any:
    parts = client.chat("llama3.3", MESSAGES, options=OPTIONS, stream=True)
    return type(parts), inspect.isgenerator(parts), [next(parts), *parts]


def generate_stream(client: Client) -> Any:
    return list(client.generate("llama3.3", "How much?", system="Be brief.", options=OPTIONS, stream=True))


STREAMS = [chat_stream, generate_stream]


@pytest.mark.parametrize("use", [chat, generate, *STREAMS])
def test_a_call_is_published_whole_and_the_host_notices_nothing(
    server: Server, published: Recorder, client: Client, unwatched: Client, use: Callable[[Client], Any]
) -> None:
    expected = use(unwatched)
    with streamgauge.context("triage", **PROMPT):
        assert use(client) == expected
    first, second = sent(server)
    assert second == first
    streamed = use in STREAMS
    assert bare(only(published), streamed=streamed) == (STREAMED if streamed else EVENT)


async def achat(client: AsyncClient) -> Any:
    return await client.chat("llama3.3", MESSAGES, options=OPTIONS)


async def achat_stream(client: AsyncClient) -> Any:
    parts = await client.chat("llama3.3", MESSAGES, options=OPTIONS, stream=True)
    return type(parts), inspect.isasyncgen(parts), [part async for part in parts]


async def agenerate_stream(client: AsyncClient) -> Any:
    asked = client.generate("llama3.3", "How much?", system="Be brief.", options=OPTIONS, stream=True)
    return [part async for part in await asked]


@pytest.mark.parametrize("use", [achat, achat_stream, agenerate_stream])
async def test_an_async_call_is_published_whole_and_the_host_notices_nothing(
    server: Server, published: Recorder, aclient: AsyncClient, use: Callable[[AsyncClient], Any]
) -> None:
    async with AsyncClient(server.url) as unwatched:
        expected = await use(unwatched)
    with streamgauge.context("triage", **PROMPT):
        assert await use(aclient) == expected
    streamed = use is not achat
    assert bare(only(published), streamed=streamed) == (STREAMED if streamed else EVENT)


def dose(drug: str) -> str:
    """Say the dose of a drug.

    Args:
        drug: its name
    """
    return drug


@pytest.mark.parametrize("stream", [False, True])
def test_tools_images_and_log_probabilities_are_where_they_belong(
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


@pytest.mark.parametrize("use", [chat, generate, *STREAMS])
def test_an_http_error_is_published(
    server: Server, published: Recorder, client: Client, unwatched: Client, use: Callable[[Client], Any]
) -> None:
    refusal = api.error(404, "model 'llama3.3' not found")
    server.will(refusal, refusal)
    expected = outcome(lambda: use(unwatched))
    assert outcome(lambda: use(client)) == expected
    assert only(published)["error"]["type"] == expected[0].__name__ == "ResponseError"
    assert only(published)["error"]["status"] == 404


def test_a_refused_connection_a_timeout_and_a_wrong_argument_are_published(server: Server, published: Recorder) -> None:
    release = threading.Event()
    server.will(Reply.of(api.chat("llama3.3"), hold=release))
    with Client(unused_url()) as away, Client(server.url, timeout=0.05) as hasty:
        with pytest.raises(ConnectionError):
            chat(streamgauge.instrument(away, published))
        with pytest.raises(httpx.ReadTimeout):
            chat(streamgauge.instrument(hasty, published))
        with pytest.raises(ValueError, match="model"):
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


def test_a_stream_that_breaks_off_is_published_as_far_as_it_came(
    server: Server, published: Recorder, client: Client
) -> None:
    server.will(Reply.stream(api.lines(api.chat("llama3.3"))[:2], "application/x-ndjson", cut=True))
    with pytest.raises(httpx.RemoteProtocolError):
        chat_stream(client)
    event = only(published)
    assert event["error"]["type"] == "RemoteProtocolError"
    assert event["choices"] == [CHOICE | {"content": "Take two", "finish_reason": None}]


def leave_by_close(client: Client) -> None:
    parts = client.chat("llama3.3", MESSAGES, stream=True)
    next(iter(parts))
    parts.close()  # type: ignore[attr-defined]


def leave_by_losing_it(client: Client) -> None:
    for _ in client.chat("llama3.3", MESSAGES, stream=True):
        break
    gc.collect()


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_losing_it])
def test_an_abandoned_stream_is_published_as_far_as_it_came(
    server: Server, published: Recorder, client: Client, leave: Callable[[Client], None]
) -> None:
    release = threading.Event()
    server.will(Reply.stream(api.lines(api.chat("llama3.3"))[:2], "application/x-ndjson", hold=release))
    leave(client)
    release.set()
    event = only(published)
    assert event["tags"] == {"stream": "abandoned"}
    assert event["choices"] == [CHOICE | {"content": "Take", "finish_reason": None}]


async def test_an_abandoned_or_cancelled_async_stream_is_published_as_far_as_it_came(
    server: Server, published: Recorder, aclient: AsyncClient
) -> None:
    release, seen = threading.Event(), asyncio.Event()
    begun = Reply.stream(api.lines(api.chat("llama3.3"))[:2], "application/x-ndjson", hold=release)
    server.will(begun, begun)
    parts = await aclient.chat("llama3.3", MESSAGES, stream=True)
    await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined]

    async def read() -> None:
        async for _ in await aclient.chat("llama3.3", MESSAGES, stream=True):
            seen.set()

    reading = asyncio.create_task(read())
    await seen.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    release.set()
    left, cancelled = published.events
    assert left["tags"] == {"stream": "abandoned"}
    assert cancelled["error"]["type"] == "CancelledError"
    assert [one["choices"][0]["content"] for one in (left, cancelled)] == ["Take", "Take"]


def test_a_stream_that_nobody_begins_to_read_is_no_call(server: Server, published: Recorder, client: Client) -> None:
    client.chat("llama3.3", MESSAGES, stream=True)
    assert server.requests == []
    assert published.events == []


def test_a_stream_keeps_the_prompt_under_which_it_was_asked_for(published: Recorder, client: Client) -> None:
    with streamgauge.context("triage", version="v7"):
        parts = client.chat("llama3.3", MESSAGES, stream=True)
    with streamgauge.context("other", version="v1"):
        list(parts)
    assert only(published)["prompt_name"] == "triage"


def test_only_this_client_is_watched_and_once(published: Recorder, client: Client, unwatched: Client) -> None:
    assert streamgauge.instrument(client, published) is client
    chat(client)
    chat(unwatched)
    assert len(published.events) == 1
    assert type(client) is Client


BREAKS = [
    (_chat_completions, "message"),
    (integration, "_response"),
    (integration, "_settings"),
    (integration.ResponseAccumulator, "add"),
    (Call, "start"),
    (_stream_tap, "publish"),
    (_stream_tap.StreamTap, "abandoned"),
]


@pytest.mark.parametrize("use", [chat, generate, *STREAMS])
@pytest.mark.parametrize(("home", "name"), BREAKS)
def test_an_error_of_ours_never_reaches_the_host(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    unwatched: Client,
    client: Client,
    home: Any,
    name: str,
    use: Callable[[Client], Any],
) -> None:
    expected = use(unwatched)
    hit = break_ours(monkeypatch, home, name)
    before = integration_errors.value()
    assert use(client) == expected
    assert bool(hit) == (integration_errors.value() > before)

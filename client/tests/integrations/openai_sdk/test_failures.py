"""Calls that fail are published with the error that the host gets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
import streamgauge
from openai import AsyncOpenAI, OpenAI
from openai_sdk.ways import ASKED, acreate, create, parse, raw, stream, stream_helper, streaming_response
from published import only, outcome
from servers import openai as api
from servers.local import Reply, Server, unused_url
from streamgauge.testing import Recorder

FAILURES = {400: "BadRequestError", 401: "AuthenticationError", 429: "RateLimitError", 500: "InternalServerError"}


@pytest.mark.parametrize("use", [create, parse, raw, stream, stream_helper, streaming_response])
@pytest.mark.parametrize("status", FAILURES)
def test_an_http_error_is_published(  # noqa: PLR0917
    server: Server,
    published: Recorder,
    client: OpenAI,
    unwatched: OpenAI,
    status: int,
    use: Callable[[OpenAI], Any],
) -> None:
    server.will(api.error(status), api.error(status))
    expected = outcome(lambda: use(unwatched))
    assert outcome(lambda: use(client)) == expected
    event = only(published)
    assert event["error"] == {"type": FAILURES[status], "message": expected[1], "status": status}
    assert event["messages"] == ASKED
    assert event["choices"] == []


async def test_an_http_error_of_an_async_call_is_published(
    server: Server, published: Recorder, aclient: AsyncOpenAI
) -> None:
    server.will(api.error(429))
    with pytest.raises(openai.RateLimitError):
        await acreate(aclient)
    assert only(published)["error"]["status"] == 429


def test_a_call_that_the_sdk_retries_is_one_call(server: Server, published: Recorder, client: OpenAI) -> None:
    server.will(api.error(500, headers={"retry-after-ms": "1"}))
    create(client.with_options(max_retries=1))
    assert len(server.requests) == 2
    assert "error" not in only(published)


def test_a_timeout_is_published(server: Server, published: Recorder, client: OpenAI) -> None:
    release = threading.Event()
    server.will(Reply.of(api.completion(), hold=release))
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.05))
    release.set()
    assert only(published)["error"] == {"type": "APITimeoutError", "message": "Request timed out.", "status": None}


def test_a_refused_connection_is_published(published: Recorder, client: OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        create(client.with_options(base_url=f"{unused_url()}/v1"))
    assert only(published)["error"]["type"] == "APIConnectionError"


async def test_a_cancelled_call_is_published(server: Server, published: Recorder, aclient: AsyncOpenAI) -> None:
    release, arrived = threading.Event(), threading.Event()
    server.will(Reply.of(api.completion(), hold=release, arrived=arrived))
    call = asyncio.create_task(acreate(aclient))
    assert await asyncio.to_thread(arrived.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    assert only(published)["error"]["type"] == "CancelledError"


def test_an_error_inside_the_sdk_before_anything_is_sent_is_published(published: Recorder) -> None:
    def no_key() -> str:
        raise RuntimeError("the vault is sealed")

    with OpenAI(base_url=unused_url(), api_key=no_key) as client, pytest.raises(RuntimeError, match="sealed"):
        create(streamgauge.instrument(client, published))
    assert only(published)["error"]["type"] == "RuntimeError"

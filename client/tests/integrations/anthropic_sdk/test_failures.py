"""Messages that fail, break off or are left; and that our own errors stay with us."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic_sdk.ways import (
    ASK,
    CHOICE,
    STREAMS,
    WHOLE,
    acreate,
    create,
    raw,
    stream,
    stream_helper,
    streaming_response,
)
from published import break_ours, only, outcome
from servers import anthropic as api
from servers.local import Reply, Server, unused_url
from servers.sse import event as sse
from streamgauge.calls import Call
from streamgauge.guard import integration_errors
from streamgauge.integrations import _sdk_responses, _sdk_streams, _stream_tap
from streamgauge.integrations import anthropic as integration
from streamgauge.testing import Recorder

FAILURES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    429: "RateLimitError",
    500: "InternalServerError",
    529: "OverloadedError",
}
TAKE = CHOICE | {"content": "Take", "finish_reason": None}
TAKE_TWO = CHOICE | {"content": "Take two", "finish_reason": None}


def begun(count: int, **more: Any) -> Reply:
    return Reply.stream(api.events(api.message())[:count], **more)


@pytest.mark.parametrize("use", [create, raw, stream, stream_helper, streaming_response])
@pytest.mark.parametrize("status", FAILURES)
def test_an_http_error_is_published(  # noqa: PLR0917
    server: Server,
    published: Recorder,
    client: Anthropic,
    unwatched: Anthropic,
    status: int,
    use: Callable[[Anthropic], Any],
) -> None:
    server.will(api.error(status), api.error(status))
    expected = outcome(lambda: use(unwatched))
    assert outcome(lambda: use(client)) == expected
    assert only(published)["error"] == {"type": FAILURES[status], "message": expected[1], "status": status}


def test_a_timeout_and_a_refused_connection_are_published(
    server: Server, published: Recorder, client: Anthropic
) -> None:
    release = threading.Event()
    server.will(Reply.of(api.message(), hold=release))
    with pytest.raises(anthropic.APITimeoutError):
        create(client.with_options(timeout=0.05))
    release.set()
    with pytest.raises(anthropic.APIConnectionError):
        create(client.with_options(base_url=unused_url()))
    assert [one["error"]["type"] for one in published.events] == ["APITimeoutError", "APIConnectionError"]


async def test_a_cancelled_call_is_published(server: Server, published: Recorder, aclient: AsyncAnthropic) -> None:
    release, arrived = threading.Event(), threading.Event()
    server.will(Reply.of(api.message(), hold=release, arrived=arrived))
    call = asyncio.create_task(acreate(aclient))
    assert await asyncio.to_thread(arrived.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    assert only(published)["error"]["type"] == "CancelledError"


@pytest.mark.parametrize("use", [stream, stream_helper])
def test_a_stream_that_breaks_off_is_published_as_far_as_it_came(
    server: Server, published: Recorder, client: Anthropic, unwatched: Anthropic, use: Callable[[Anthropic], Any]
) -> None:
    server.will(begun(5, cut=True), begun(5, cut=True))
    expected = outcome(lambda: use(unwatched))
    assert outcome(lambda: use(client)) == expected
    event = only(published)
    assert event["error"]["type"] == expected[0].__name__ == "RemoteProtocolError"
    assert event["choices"] == [TAKE_TWO]
    assert event["usage"]["input_tokens"] == 2121


def test_an_error_in_the_middle_of_a_stream_is_published(
    server: Server, published: Recorder, client: Anthropic, unwatched: Anthropic
) -> None:
    broken = [*api.events(api.message())[:5], sse(api.error_body(529), "error")]
    server.will(Reply.stream(broken), Reply.stream(broken))
    expected = outcome(lambda: stream(unwatched))
    assert outcome(lambda: stream(client)) == expected
    event = only(published)
    assert event["error"]["type"] == expected[0].__name__
    assert event["choices"] == [TAKE_TWO]


def leave_by_close(client: Anthropic) -> None:
    events = client.messages.create(**ASK, stream=True)
    next(event for event in events if event.type == "content_block_delta")
    events.close()


def leave_by_helper(client: Anthropic) -> None:
    with client.messages.stream(**ASK) as events:
        next(events.text_stream)


def leave_by_losing_it(client: Anthropic) -> None:
    for event in client.messages.create(**ASK, stream=True):
        if event.type == "content_block_delta":
            break
    gc.collect()


def leave_unread_lines(client: Anthropic) -> None:
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        next(line for line in response.iter_lines() if "Take" in line)


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_helper, leave_by_losing_it, leave_unread_lines])
def test_an_abandoned_stream_is_published_as_far_as_it_came(
    server: Server, published: Recorder, client: Anthropic, leave: Callable[[Anthropic], None]
) -> None:
    release = threading.Event()
    server.will(begun(5, hold=release))
    leave(client)
    release.set()
    event = only(published)
    assert event["tags"] == {"stream": "abandoned"}
    assert event["choices"] == [TAKE]
    assert "error" not in event


def test_a_dropped_stream_lets_go_of_its_connection_at_once_as_without_us(
    server: Server, client: Anthropic, published: Recorder
) -> None:
    events = client.messages.create(**ASK, stream=True)
    next(events)
    response = events.response
    gc.disable()
    try:
        del events
        assert response.is_closed
    finally:
        gc.enable()
    assert only(published)["tags"] == {"stream": "abandoned"}


BREAKS = [
    (integration, "_usage"),
    (integration.MessageAccumulator, "add"),
    (integration.MessageAccumulator, "result"),
    (Call, "start"),
    (_sdk_responses, "_settle"),
    (_sdk_streams, "_replace_body"),
    (_stream_tap, "publish"),
]


@pytest.mark.parametrize("use", WHOLE + STREAMS)
@pytest.mark.parametrize(("home", "name"), BREAKS)
def test_an_error_of_ours_never_reaches_the_host(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    client: Anthropic,
    unwatched: Anthropic,
    home: Any,
    name: str,
    use: Callable[[Anthropic], Any],
) -> None:
    expected = use(unwatched)
    hit = break_ours(monkeypatch, home, name)
    before = integration_errors.value()
    assert use(client) == expected
    assert bool(hit) == (integration_errors.value() > before)

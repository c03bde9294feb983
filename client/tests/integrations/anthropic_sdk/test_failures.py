"""Failures specific to the Anthropic SDK."""

from __future__ import annotations

import gc
import threading
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic_sdk.call_styles import (
    ASK,
    CHOICE,
    create,
    stream,
)
from published import only, outcome
from servers import anthropic as api
from servers.local import Reply, Server, unused_url
from servers.sse import event as sse
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


def test_an_error_in_the_middle_of_a_stream_is_published(
    server: Server, published: Recorder, client: Anthropic, plain: Anthropic
) -> None:
    broken = [*api.events(api.message())[:5], sse(api.error_body(529), "error")]
    server.will(Reply.stream(broken), Reply.stream(broken))
    expected = outcome(lambda: stream(plain))
    assert outcome(lambda: stream(client)) == expected
    event = only(published)
    assert event["error"]["type"] == expected[0].__name__
    assert event["choices"] == [TAKE_TWO]


def test_a_dropped_stream_closes_its_connection_at_once(server: Server, client: Anthropic, published: Recorder) -> None:
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

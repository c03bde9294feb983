"""Contract of every SDK integration: each call is one event, and the host sees no difference."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
import streamgauge
from contract.case import TOOL, Case, Use
from contract.cases import each_case, each_error, each_internal, each_use
from published import PROMPT, break_internal, only, outcome, sent
from servers.local import Server, unused_url
from streamgauge.guard import integration_errors
from streamgauge.testing import Recorder


@each_use("calls", "streams")
def test_a_call_is_one_complete_event_and_the_host_sees_no_difference(  # noqa: PLR0917
    case: Case, use: Use, server: Server, recorder: Recorder, plain: Any, client: Any
) -> None:
    expected = use(plain)
    with streamgauge.context("triage", **PROMPT):
        assert use(client) == expected
    first, second = sent(server)
    assert second == first or not case.same_requests
    _assert_event(case, recorder, streamed=use in case.streams)


@each_use("async_calls", "async_streams")
async def test_an_async_call_is_one_complete_event_and_the_host_sees_no_difference(  # noqa: PLR0917
    case: Case, use: Use, server: Server, recorder: Recorder, plain_async: Any, client_async: Any
) -> None:
    expected = await use(plain_async)
    with streamgauge.context("triage", **PROMPT):
        assert await use(client_async) == expected
    first, second = sent(server)
    assert second == first or not case.same_requests
    _assert_event(case, recorder, streamed=use in case.async_streams)


def _assert_event(case: Case, recorder: Recorder, *, streamed: bool) -> None:
    event = only(recorder)
    assert case.comparable(event, streamed) == case.event(streamed)


@each_error()
def test_an_http_error_is_published_and_raised_unchanged(  # noqa: PLR0917
    case: Case, use: Use, status: int, server: Server, recorder: Recorder, plain: Any, client: Any
) -> None:
    server.will(case.error(status), case.error(status))
    expected = outcome(lambda: use(plain))
    assert outcome(lambda: use(client)) == expected
    event = only(recorder)
    assert expected[0].__name__ == case.errors[status]
    assert event["error"] == {"type": case.errors[status], "message": expected[1][:2_000], "status": status}
    assert event["messages"]
    assert not event["choices"]


@each_case()
async def test_an_http_error_of_an_async_call_is_published(
    case: Case, server: Server, recorder: Recorder, client_async: Any
) -> None:
    server.will(case.error(429))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the class depends on the case
        await case.async_calls[0](client_async)
    event = only(recorder)
    assert (event["error"]["type"], event["error"]["status"]) == (type(raised.value).__name__, 429)


@each_case()
def test_a_refused_connection_is_published(case: Case, recorder: Recorder) -> None:
    with case.connect(unused_url()) as client, case.instrument(client, recorder) as instrumented:
        kind, _ = outcome(lambda: case.calls[0](instrumented))
        event = only(recorder)
    assert issubclass(kind, Exception)
    assert event["error"]["type"] == kind.__name__


@each_case()
async def test_a_cancelled_call_is_published(case: Case, server: Server, recorder: Recorder, client_async: Any) -> None:
    release = threading.Event()
    server.will(replace(case.tool_reply(False), hold=release))
    call = asyncio.create_task(case.async_calls[0](client_async))
    await asyncio.to_thread(server.wait_for, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    event = only(recorder)
    assert event["error"]["type"] == "CancelledError"


@each_use("breaking")
def test_a_stream_that_breaks_is_published_so_far(  # noqa: PLR0917
    case: Case, use: Use, server: Server, recorder: Recorder, plain: Any, client: Any
) -> None:
    server.will(case.opening(cut=True), case.opening(cut=True))
    expected = outcome(lambda: use(plain))
    assert outcome(lambda: use(client)) == expected
    event = only(recorder)
    assert event["error"]["type"] == expected[0].__name__
    assert event["choices"] == case.first_words


@each_use("abandon")
def test_an_abandoned_stream_is_published_so_far(
    case: Case, use: Use, server: Server, recorder: Recorder, client: Any
) -> None:
    release = threading.Event()
    server.will(case.opening(hold=release))
    use(client)
    release.set()
    event = only(recorder)
    assert event["tags"]["stream"] == "abandoned"
    assert event["choices"] == case.first_word
    assert "error" not in event


@each_use("abandon_async")
async def test_an_abandoned_async_stream_is_published_so_far(
    case: Case, use: Use, server: Server, recorder: Recorder, client_async: Any
) -> None:
    release = threading.Event()
    server.will(case.opening(hold=release))
    await use(client_async)
    release.set()
    event = only(recorder)
    assert event["tags"]["stream"] == "abandoned"
    assert event["choices"] == case.first_word
    assert "error" not in event


@each_case(having="stream_forever")
async def test_a_cancelled_stream_is_published_so_far(
    case: Case, server: Server, recorder: Recorder, client_async: Any
) -> None:
    assert case.stream_forever is not None
    release, seen = threading.Event(), asyncio.Event()
    server.will(case.opening(hold=release))
    reading = asyncio.create_task(case.stream_forever(client_async, seen))
    await seen.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    release.set()
    event = only(recorder)
    assert event["error"]["type"] == "CancelledError"
    assert event["choices"] == case.first_word


@each_case(having="open_stream")
def test_a_stream_keeps_the_context_of_its_request(case: Case, recorder: Recorder, client: Any) -> None:
    assert case.open_stream is not None
    with streamgauge.context("triage", version="v7"):
        stream = case.open_stream(client)
    with streamgauge.context("other", version="v1"):
        assert list(stream)
    event = only(recorder)
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")


@each_case()
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_call_is_in_the_choice(
    case: Case, server: Server, recorder: Recorder, client: Any, streamed: bool
) -> None:
    server.will(case.tool_reply(streamed))
    (case.streams if streamed else case.calls)[0](client)
    event = only(recorder)
    (choice,) = event["choices"]
    (call,) = choice["tool_calls"]
    assert (call["name"], json.loads(call["arguments"])) == (TOOL["name"], TOOL["arguments"])


@each_case()
def test_only_the_instrumented_client_publishes_and_only_once(
    case: Case, recorder: Recorder, plain: Any, client: Any
) -> None:
    if case.own_client:
        with case.instrument(client, recorder) as again:
            assert again is client
        case.calls[0](plain)
    case.calls[0](client)
    assert only(recorder)


@each_internal()
def test_an_internal_error_never_reaches_the_host(  # noqa: PLR0917
    case: Case, use: Use, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, plain: Any, client: Any
) -> None:
    expected = use(plain)
    calls = break_internal(monkeypatch, owner, name)
    before = integration_errors.value()
    assert use(client) == expected
    assert bool(calls) == (integration_errors.value() > before)

"""Errors of the API, of the network and of ours."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.tracers import context
from langchain_openai import ChatOpenAI
from langchain_sdk.ways import ANSWERED, broken, chat
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations import langchain_requests, langchain_responses
from streamgauge.integrations.langchain import StreamgaugeHandler, install
from streamgauge.testing import Recorder


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_host_gets_the_librarys_error_and_the_event_has_it(
    api: Server, model: ChatOpenAI, recorder: Recorder, status: int
) -> None:
    api.will(server.error(status), server.error(status))
    with pytest.raises(Exception, match=str(status)) as raised:
        model.invoke("hello")
    with pytest.raises(type(raised.value)):
        list(model.stream("hello"))
    for event in recorder.events:
        assert event["error"]["type"] == type(raised.value).__name__
        assert event["error"]["status"] == status
        assert event["choices"] == []
        assert event["messages"] == [{"role": "user", "content": "hello"}]


async def test_an_error_in_an_async_batch_is_told_beside_the_answers(
    api: Server, model: ChatOpenAI, recorder: Recorder
) -> None:
    api.will(server.error(400))
    results = await model.abatch(["a", "b"], {"max_concurrency": 1}, return_exceptions=True)
    failed, answered = recorder.events
    assert isinstance(results[0], Exception)
    assert (failed["error"]["status"], answered["choices"]) == (400, ANSWERED)


def test_a_connection_that_breaks_leaves_the_part_that_came_and_the_error(
    api: Server, model: ChatOpenAI, recorder: Recorder
) -> None:
    api.will(Reply.stream(server.chunks(server.completion())[:3], cut=True))
    with pytest.raises(Exception, match=r"peer closed|Connection") as raised:
        list(model.stream("hello"))
    [event] = recorder.events
    assert event["choices"] == [{"content": "Take two", "finish_reason": None}]
    assert event["error"]["type"] == type(raised.value).__name__


async def test_a_call_that_is_cancelled_has_that_error(api: Server, model: ChatOpenAI, recorder: Recorder) -> None:
    held = threading.Event()
    api.will(Reply.of(server.completion(), hold=held))
    task = asyncio.create_task(model.ainvoke("hello"))
    await asyncio.to_thread(api.wait_for, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    assert [event["error"]["type"] for event in recorder.events] == ["CancelledError"]


def test_installed_it_watches_every_run_and_only_once(
    api: Server, handler: StreamgaugeHandler, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "_configure_hooks", list(context._configure_hooks))
    everywhere = Recorder(tenant="clinic", app="all")
    install(everywhere)
    chat(api).invoke("hello")
    chat(api, handler).invoke("hello")
    assert [len(everywhere.events), len(recorder.events)] == [1, 1]


def test_an_error_of_ours_never_reaches_the_host(
    model: ChatOpenAI, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = recorder.stats.integration_errors
    for name in ("request", "messages"):
        monkeypatch.setattr(langchain_requests, name, broken)
    for name in ("llm_result", "token_text"):
        monkeypatch.setattr(langchain_responses, name, broken)
    assert model.invoke("hello").text == server.ANSWER
    assert "".join(chunk.text for chunk in model.stream("hello")) == server.ANSWER
    assert len(recorder.events) == 2
    assert recorder.stats.integration_errors > before
    assert not [r for r in caplog.records if r.name.startswith("langchain")]

"""Errors in batches, and the handler of the process."""

from __future__ import annotations

import pytest
from langchain_core.tracers import context
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import ANSWERED, chat
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.langchain import StreamgaugeHandler, install
from streamgauge.testing import Recorder


async def test_an_error_in_an_async_batch_is_published(api: Server, model: ChatOpenAI, recorder: Recorder) -> None:
    api.will(server.error(400))
    results = await model.abatch(["a", "b"], {"max_concurrency": 1}, return_exceptions=True)
    failed, answered = recorder.events
    assert isinstance(results[0], Exception)
    assert (failed["error"]["status"], answered["choices"]) == (400, ANSWERED)


def test_an_installed_handler_publishes_every_run_once(
    api: Server, handler: StreamgaugeHandler, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "_configure_hooks", list(context._configure_hooks))
    everywhere = Recorder(tenant="clinic", app="all")
    install(everywhere)
    chat(api).invoke("hello")
    chat(api, handler).invoke("hello")
    assert [len(everywhere.events), len(recorder.events)] == [1, 1]

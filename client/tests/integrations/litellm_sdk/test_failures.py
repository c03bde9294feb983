"""Errors of LiteLLM, unpublished calls and bounds."""

from __future__ import annotations

import threading
import time
from typing import Any

import openai
import pytest
import streamgauge
from litellm_sdk.call_styles import HELLO, MODEL, arrived, arrived_async, litellm
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations import litellm as integration
from streamgauge.integrations import litellm_payload
from streamgauge.integrations.litellm import StreamgaugeLogger
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM warns in many places, of nothing that is ours


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_error_is_published_and_raised(api: Server, to: Any, recorder: Recorder, status: int) -> None:
    api.will(server.error(status))
    with pytest.raises(openai.APIError) as raised:
        litellm.completion(messages=HELLO, **to)
    [event] = arrived(recorder)
    assert event["error"]["type"] == type(raised.value).__name__
    assert event["error"]["status"] == raised.value.status_code  # type: ignore[attr-defined]
    assert event["messages"] == HELLO
    assert (event["choices"], event["usage"], event.get("cost_usd")) == ([], None, None)


async def test_an_error_of_an_async_call(api: Server, to: Any, recorder: Recorder) -> None:
    api.will(server.error(429))
    with pytest.raises(litellm.RateLimitError), streamgauge.context("triage", version="v7"):
        await litellm.acompletion(messages=HELLO, **to)
    [event] = await arrived_async(recorder)
    assert (event["error"]["type"], event["error"]["status"], event["prompt_version"]) == ("RateLimitError", 429, "v7")


def test_a_raise_connection_is_published(api: Server, to: Any, recorder: Recorder) -> None:
    api.will(Reply.stream(server.chunks(server.completion())[:3], cut=True))
    with pytest.raises(openai.APIError):
        list(litellm.completion(messages=HELLO, stream=True, **to))
    [event] = arrived(recorder)
    assert event["error"]["type"]
    assert event["messages"] == HELLO


def test_embeddings_are_not_published(api: Server, to: Any, recorder: Recorder, logger: StreamgaugeLogger) -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    api.will(Reply.of({"object": "list", "data": [vector], "model": "e", "usage": usage}))
    litellm.embedding(input=["hello"], **{**to, "model": "openai/text-embedding-3-small"})
    litellm.completion(messages=HELLO, **to)
    assert [event["request_model"] for event in arrived(recorder)] == [MODEL]


def test_an_internal_error_never_reaches_the_host(to: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recorder.stats.integration_errors
    monkeypatch.setattr(litellm_payload, "request", _raise)
    monkeypatch.setattr(integration, "_remember", _raise)
    with streamgauge.context("triage"):
        assert litellm.completion(messages=HELLO, **to).choices[0].message.content == server.ANSWER
    pause, deadline = threading.Event(), time.monotonic() + 20
    while recorder.stats.integration_errors < before + 2 and time.monotonic() < deadline:
        pause.wait(0.005)
    assert recorder.stats.integration_errors == before + 2
    assert recorder.events == []


def test_the_number_of_contexts_is_bounded(logger: StreamgaugeLogger) -> None:
    with streamgauge.context("triage"):
        for n in range(integration.MAX_REMEMBERED + 100):
            logger.log_pre_api_call(MODEL, HELLO, {"litellm_call_id": str(n)})
    assert len(logger._contexts) == integration.MAX_REMEMBERED


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError

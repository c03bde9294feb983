"""Errors of the API, of the network and of ours; answers that a filter stopped."""

from __future__ import annotations

import pytest
import streamgauge
from google import genai
from google.genai import errors
from google_genai_sdk.ways import MODEL, broken, gemini
from servers import google_genai as server
from servers.local import Reply, Server, unused_url
from streamgauge.integrations import google_genai, google_genai_responses
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def test_a_blocked_prompt_is_no_error_and_has_the_filters_verdict(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.of(server.blocked("PROHIBITED_CONTENT")), Reply.stream(server.chunks(server.blocked())))
    client.models.generate_content(model=MODEL, contents="?")
    list(client.models.generate_content_stream(model=MODEL, contents="?"))
    whole, streamed = recorder.events
    assert whole["choices"] == streamed["choices"] == []
    verdict = {"name": "gemini-safety", "verdict": "block", "mode": "pre", "provider": "google"}
    assert whole["guardrails"] == [{**verdict, "categories": ["PROHIBITED_CONTENT"]}]
    assert streamed["guardrails"] == [{**verdict, "categories": ["SAFETY"]}]
    assert "error" not in whole
    assert streamed["tags"] == {}


def test_an_answer_cut_by_a_filter_says_so(api: Server, client: genai.Client, recorder: Recorder) -> None:
    rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
    api.will(Reply.of(server.response(server.candidate(finish="SAFETY", safetyRatings=[rating]))))
    client.models.generate_content(model=MODEL, contents="?")
    [event] = recorder.events
    assert event["choices"] == [{"content": "", "finish_reason": "SAFETY"}]
    assert event["guardrails"][0]["mode"] == "post"
    assert event["guardrails"][0]["categories"] == ["SAFETY", "HARM_CATEGORY_DANGEROUS_CONTENT"]


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_the_host_gets_the_librarys_error_and_the_event_has_it(
    api: Server, client: genai.Client, recorder: Recorder, status: int
) -> None:
    api.will(server.error(status), server.error(status))
    with pytest.raises(errors.APIError) as plain:
        client.models.generate_content(model=MODEL, contents="?")
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(model=MODEL, contents="?"))
    assert plain.value.code == status
    for event in recorder.events:
        assert (event["error"]["type"], event["error"]["status"]) == (type(plain.value).__name__, status)
        assert event["messages"] == [{"role": "user", "content": "?"}]


async def test_an_error_of_the_async_client(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(server.error(429), server.error(429))
    with pytest.raises(errors.ClientError):
        await client.aio.models.generate_content(model=MODEL, contents="?")
    with pytest.raises(errors.ClientError):
        async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="?"):
            pass
    assert [event["error"]["status"] for event in recorder.events] == [429, 429]
    await client.aio.aclose()


def test_a_connection_that_breaks_leaves_the_part_that_came_and_the_error(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.stream(server.chunks(server.response())[:2], cut=True))
    with pytest.raises(Exception, match="peer closed") as raised:
        list(client.models.generate_content_stream(model=MODEL, contents="?"))
    [event] = recorder.events
    assert event["choices"][0]["content"] == "Take two"
    assert event["error"]["type"] == type(raised.value).__name__


def test_nobody_listening_is_the_hosts_error_too(recorder: Recorder) -> None:
    client = google_genai.instrument(gemini(unused_url()), recorder)
    with pytest.raises(Exception, match="refused"):
        client.models.generate_content(model=MODEL, contents="?")
    assert [event["error"]["type"] for event in recorder.events] == ["ConnectError"]


def test_watching_twice_is_watching_once_and_only_this_client(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    assert streamgauge.instrument(client, recorder) is client
    client.models.generate_content(model=MODEL, contents="?")
    other = gemini(api.url)
    other.models.generate_content(model=MODEL, contents="?")
    assert len(recorder.events) == 1


def test_an_error_of_ours_never_reaches_the_host(
    client: genai.Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorder.stats.integration_errors
    for name in ("messages", "parameters"):
        monkeypatch.setattr(google_genai, name, broken)
    monkeypatch.setattr(google_genai_responses.ResponseAccumulator, "add", broken)
    assert client.models.generate_content(model=MODEL, contents="?").text == server.ANSWER
    stream = client.models.generate_content_stream(model=MODEL, contents="?")
    assert "".join(chunk.text or "" for chunk in stream) == server.ANSWER
    assert [event["request_model"] for event in recorder.events] == [MODEL, MODEL]
    assert recorder.stats.integration_errors >= before + 8

"""Blocked responses and errors of the async client."""

from __future__ import annotations

import pytest
from google import genai
from google.genai import errors
from google_genai_sdk.call_styles import MODEL
from servers import google_genai as server
from servers.local import Reply, Server
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def test_a_blocked_prompt_has_the_verdict_of_the_filter(api: Server, client: genai.Client, recorder: Recorder) -> None:
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


def test_a_response_ended_by_a_filter_has_its_verdict(api: Server, client: genai.Client, recorder: Recorder) -> None:
    rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
    api.will(Reply.of(server.response(server.candidate(finish="SAFETY", safetyRatings=[rating]))))
    client.models.generate_content(model=MODEL, contents="?")
    [event] = recorder.events
    assert event["choices"] == [{"content": "", "finish_reason": "SAFETY"}]
    assert event["guardrails"][0]["mode"] == "post"
    assert event["guardrails"][0]["categories"] == ["SAFETY", "HARM_CATEGORY_DANGEROUS_CONTENT"]


async def test_an_error_of_the_async_client(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(server.error(429), server.error(429))
    with pytest.raises(errors.ClientError):
        await client.aio.models.generate_content(model=MODEL, contents="?")
    with pytest.raises(errors.ClientError):
        async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="?"):
            pass
    assert [event["error"]["status"] for event in recorder.events] == [429, 429]
    await client.aio.aclose()

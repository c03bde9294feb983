"""LiteLLM proxy with the logger, between an OpenAI client and a local OpenAI API."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from servers import litellm_proxy
from servers import openai as server
from servers.local import Reply, Server
from servers.monitor import Monitor, listening

needs_proxy = pytest.mark.skipif(importlib.util.find_spec("fastapi_sso") is None, reason="needs litellm[proxy]")
pytestmark = [needs_proxy]
METADATA = {"prompt_name": "triage", "prompt_version": "v7", "session_id": "c-1", "tags": ["beta"]}
VERDICT = {"name": "words", "mode": "pre", "provider": "litellm_content_filter"}


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture(scope="module")
def published() -> Iterator[Monitor]:
    with listening() as monitor:
        yield monitor


@pytest.fixture(scope="module")
def proxy(api: Server, published: Monitor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with litellm_proxy.running(tmp_path_factory.mktemp("proxy"), api.url, published.url) as url:
        yield url


@pytest.fixture
def client(proxy: str, published: Monitor) -> Iterator[openai.OpenAI]:
    published.events.clear()
    with openai.OpenAI(base_url=f"{proxy}/v1", api_key=litellm_proxy.KEY, max_retries=0) as connected:
        yield connected


def arrived(published: Monitor, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the proxy has told of so many calls."""
    pause, deadline = threading.Event(), time.monotonic() + 30
    while len(published.events) < count and time.monotonic() < deadline:
        pause.wait(0.01)
    assert len(published.events) == count
    return published.events


def ask(client: openai.OpenAI, text: str = "hello", **more: Any) -> Any:
    said: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="doctor", messages=said, user="u-9", **more)


def test_a_call_through_the_proxy(client: openai.OpenAI, published: Monitor) -> None:
    response = ask(client, temperature=0.25, extra_body={"metadata": METADATA})
    [event] = arrived(published)
    assert response.choices[0].message.content == server.ANSWER
    assert (event["tenant"], event["app"]) == ("clinic", "gateway")
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
    assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")
    assert (event["provider"], event["request_model"], event["response_model"]) == (
        "openai",
        "gpt-4o-mini",
        "gpt-4o-mini",
    )
    assert event["tags"] | {"model_group": "doctor", "tags": "beta"} == event["tags"]
    assert event["messages"] == [{"role": "user", "content": "hello"}]
    assert event["choices"][0]["content"] == server.ANSWER
    assert (event["usage"]["input_tokens"], event["usage"]["output_tokens"]) == (19, 12)
    assert event["cost_usd"] > 0
    assert event["parameters"]["temperature"] == 0.25


def test_guardrails_that_pass_and_mask(client: openai.OpenAI, published: Monitor) -> None:
    ask(client)
    [passed] = arrived(published)
    published.events.clear()
    ask(client, "this is private")
    [masked] = arrived(published)
    assert passed["guardrails"][0] | {**VERDICT, "verdict": "pass", "categories": []} == passed["guardrails"][0]
    assert masked["guardrails"][0] | {**VERDICT, "verdict": "flag"} == masked["guardrails"][0]
    assert masked["guardrails"][0]["categories"] == ["blocked_word"]
    assert 0 < masked["guardrails"][0]["score"] <= 1
    assert masked["guardrails"][0]["latency_ms"] >= 0
    assert "private" not in masked["messages"][0]["content"]


def test_a_blocking_guardrail_is_published_once(client: openai.OpenAI, published: Monitor) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, "this is forbidden")
    ask(client)
    blocked, answered = arrived(published, 2)
    assert blocked["guardrails"][0] | {**VERDICT, "verdict": "block"} == blocked["guardrails"][0]
    assert (blocked["error"]["status"], blocked["choices"]) == (400, [])
    assert "error" not in answered


def test_a_stream_through_the_proxy(client: openai.OpenAI, published: Monitor) -> None:
    stream = ask(client, stream=True, stream_options={"include_usage": True}, extra_body={"metadata": METADATA})
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    [event] = arrived(published)
    assert text == event["choices"][0]["content"] == server.ANSWER
    assert 0 < event["ttft_ms"] <= event["latency_ms"]
    assert event["usage"]["input_tokens"] == 19
    assert (event["prompt_version"], event["response_model"]) == ("v7", "gpt-4o-mini")


def test_a_stream_abandoned_by_the_proxys_client(api: Server, client: openai.OpenAI, published: Monitor) -> None:
    held = threading.Event()
    api.will(Reply.stream(server.chunks(server.completion()), hold=held))
    stream = ask(client, stream=True)
    next(iter(stream))
    stream.close()
    held.set()
    [event] = arrived(published)
    assert event["tags"]["stream"] == "abandoned"
    assert "error" not in event


def test_an_error_of_the_provider(api: Server, client: openai.OpenAI, published: Monitor) -> None:
    api.will(server.error(429))
    with pytest.raises(openai.RateLimitError):
        ask(client, extra_body={"metadata": METADATA})
    [event] = arrived(published)
    assert (event["error"]["type"], event["error"]["status"]) == ("RateLimitError", 429)
    assert (event["prompt_version"], event["messages"][0]["content"]) == ("v7", "hello")


def test_responses_through_the_proxy(client: openai.OpenAI, published: Monitor) -> None:
    response = client.responses.create(model="doctor", input="hello", extra_body={"litellm_metadata": METADATA})
    [event] = arrived(published)
    assert response.output_text == event["choices"][0]["content"] == server.ANSWER
    assert event["messages"] == [{"role": "user", "content": "hello"}]
    assert (event["prompt_version"], event["usage"]["input_tokens"]) == ("v7", 40)

"""Instrumented clients, copies, contexts and providers."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import threading
from typing import Any

import openai
import pytest
import streamgauge
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from openai_sdk.call_styles import ASK, create, create_async
from published import only
from servers.local import Server
from streamgauge.integrations import openai as integration
from streamgauge.testing import Recorder


async def test_tasks_and_threads_with_the_context_have_the_prompt(
    published: Recorder, client: OpenAI, aclient: AsyncOpenAI
) -> None:
    with streamgauge.context("triage", version="v7"):
        await asyncio.create_task(create_async(aclient))
        await asyncio.to_thread(create, client)
        thread = threading.Thread(target=contextvars.copy_context().run, args=(create, client))
    thread.start()
    thread.join()
    assert [event["prompt_version"] for event in published.events] == ["v7", "v7", "v7"]


def test_the_user_of_the_request_applies_without_a_context(published: Recorder, client: OpenAI) -> None:
    client.chat.completions.create(**ASK, safety_identifier="hash-1")
    with streamgauge.context("triage", user_id="u-9"):
        client.chat.completions.create(**ASK, safety_identifier="hash-1")
    assert [event["user_id"] for event in published.events] == ["hash-1", "u-9"]


def test_copies_are_instrumented_and_other_clients_are_not(published: Recorder, client: OpenAI, plain: OpenAI) -> None:
    create(client.with_options(timeout=5.0))
    create(client.copy(api_key="other"))
    create(client.with_options(timeout=5.0).with_options(max_retries=0))
    assert [event["provider"] for event in published.events] == ["openai"] * 3
    create(plain)
    assert len(published.events) == 3
    assert "request" not in vars(plain)


def test_a_shallow_copy_is_not_instrumented(server: Server, published: Recorder, client: OpenAI) -> None:
    other = copy.copy(client)
    other.api_key = "other"
    create(other)
    assert server.requests[0].headers["authorization"] == "Bearer other"
    assert published.events == []


def test_instrumenting_twice_has_no_effect(published: Recorder, client: OpenAI) -> None:
    assert streamgauge.instrument(client, published) is client
    assert type(client) is OpenAI
    create(client)
    assert len(published.events) == 1


def test_resources_taken_before_are_instrumented(published: Recorder, plain: OpenAI) -> None:
    completions, raw = plain.chat.completions, plain.chat.completions.with_raw_response
    streamgauge.instrument(plain, published)
    completions.create(**ASK)
    raw.create(**ASK)
    assert len(published.events) == 2


def test_embeddings_and_lists_of_models_are_not_published(published: Recorder, client: OpenAI) -> None:
    for use in (lambda: client.embeddings.create(model="e", input="x"), client.models.list):
        with pytest.raises(openai.NotFoundError):
            use()
    assert published.events == []


def test_legacy_completions_are_published(published: Recorder, client: OpenAI) -> None:
    client.completions.create(model="llama-3.3-70b", prompt="How much?", max_tokens=3)
    event = only(published)
    assert event["messages"] == [{"role": "user", "content": "How much?"}]
    assert event["choices"] == [{"content": "Take two tablets.", "finish_reason": "length", "logprobs": [-0.5, -0.25]}]


AZURE: dict[str, Any] = {"api_key": "key", "api_version": "2026-05-01", "azure_deployment": "gpt"}


def test_azure_is_instrumented_at_its_own_paths(server: Server, published: Recorder) -> None:
    with AzureOpenAI(base_url=f"{server.url}/openai/deployments/gpt", **AZURE | {"azure_deployment": None}) as client:
        create(streamgauge.instrument(client, published))
    event = only(published)
    assert (event["provider"], event["choices"][0]["content"]) == ("azure", "Take two tablets.")


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://clinic.openai.azure.com/openai/v1", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://gpu-7.internal:8000/v1", "vllm"),
        ("http://127.0.0.1:8080/v1", "llama.cpp"),
        ("https://llm.clinic.example/v1", "openai-compatible"),
        ("https://notapi.openai.com.example/v1", "openai-compatible"),
    ],
)
def test_the_provider_is_guessed_from_the_base_url(url: str, provider: str) -> None:
    with OpenAI(base_url=url, api_key="key") as client:
        assert integration.guess_provider(client) == provider


async def test_the_provider_of_an_azure_client_is_azure() -> None:
    async with AsyncAzureOpenAI(azure_endpoint="https://gateway.example", **AZURE) as client:
        assert integration.guess_provider(client) == "azure"

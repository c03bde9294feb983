"""OpenAI SDK, and every server with OpenAI's protocol: vLLM, Ollama's ``/v1``, llama.cpp.

The integration publishes chat completions, responses and legacy completions; ``create``, ``parse`` and ``stream``, sync
and async, raw and streaming responses. It never changes a request: a stream whose ``stream_options`` do not request
usage gives an event without token counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from streamgauge.integrations import _chat_completions, _sdk
from streamgauge.integrations._accessors import Json, as_json, get, log_probabilities, parameters, rows, text
from streamgauge.integrations._api import Api
from streamgauge.integrations.openai_responses import RESPONSES
from streamgauge.publisher import EventPublisher

CONTENT = frozenset(
    {"audio", "functions", "messages", "metadata", "model", "prediction", "prompt", "safety_identifier", "suffix"}
    | {"tools", "user"}
)
HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "cognitiveservices.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "generativelanguage.googleapis.com": "google",
    "api.anthropic.com": "anthropic",
}
PORTS = {11434: "ollama", 8000: "vllm", 8080: "llama.cpp"}
"""Default ports of self-hosted servers."""
UNKNOWN_PROVIDER = "openai-compatible"


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the calls of an ``OpenAI``, ``AsyncOpenAI`` or Azure client and of its copies; return the client.

    Parameters
    ----------
    provider
        ``provider`` of the events; default: derived from the client's base URL by `guess_provider`.
    """
    instrumentation = _sdk.ClientInstrumentation(publisher, APIS, provider or guess_provider(client))
    _sdk.instrument(client, instrumentation, lambda copy: instrument(copy, publisher, provider=provider))
    return client


def guess_provider(client: Any) -> str:
    """Return the provider of a client by its class and base URL: a known host, else a default port.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> [guess_provider(SimpleNamespace(base_url=url)) for url in ("https://eu.api.openai.com/v1", "http://gpu-7:8000/v1")]
    ['openai', 'vllm']
    """
    if "azure" in type(client).__module__ or "Azure" in type(client).__name__:
        return "azure"
    url = urlsplit(str(client.base_url))
    host = url.hostname or ""
    provider = next((name for known, name in HOSTS.items() if host == known or host.endswith(f".{known}")), None)
    return provider or PORTS.get(url.port or 0, UNKNOWN_PROVIDER)


def _request(body: Mapping[str, Any]) -> Json:
    return {
        "request_model": text(body.get("model")),
        "messages": [_chat_completions.message(message) for message in rows(body.get("messages"))],
        "parameters": parameters(body, CONTENT),
        "context_fallbacks": {"user_id": text(body.get("safety_identifier")) or text(body.get("user"))},
    }


def _text_request(body: Mapping[str, Any]) -> Json:
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else rows(prompt)
    contents = [p if isinstance(p, str) else as_json(p) for p in prompts]  # a prompt may be a list of token ids
    return {**_request(body), "messages": [{"role": "user", "content": content} for content in contents]}


def _text_response(completion: Any) -> Json:
    choices = [
        {
            "content": text(get(choice, "text")),
            "finish_reason": text(get(choice, "finish_reason")) or None,
            "logprobs": log_probabilities(get(choice, "logprobs", "token_logprobs")) or None,
        }
        for choice in rows(get(completion, "choices"))
    ]
    return {**_chat_completions.completion(completion), "choices": choices}


APIS = {
    "/chat/completions": Api(_request, _chat_completions.completion, _chat_completions.ChatAccumulator),
    "/completions": Api(_text_request, _text_response, _chat_completions.ChatAccumulator),
    "/responses": RESPONSES,
}

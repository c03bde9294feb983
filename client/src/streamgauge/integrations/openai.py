"""The OpenAI SDK, and through it every server that speaks OpenAI's protocol: vLLM, Ollama's ``/v1``, llama.cpp.

Watched are chat completions, responses and the older completions; ``create``, ``parse`` and ``stream``, sync and async,
raw and streaming responses. The request is never changed: a stream whose ``stream_options`` do not ask for usage gives
an event without token counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from streamgauge.integrations import _chat, _sdk
from streamgauge.integrations._reading import Json, as_json, get, log_probabilities, parameters, rows, text
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
"""Where the servers that one runs oneself listen unless told otherwise."""
OTHER = "openai-compatible"


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the calls of an ``OpenAI``, ``AsyncOpenAI`` or Azure client, and of its copies; return it.

    Parameters
    ----------
    provider
        The event's ``provider``; ``None``: guessed from the client's base URL by `guess_provider`.
    """
    recorder = _sdk.Recorder(publisher, APIS, provider or guess_provider(client))
    _sdk.instrument(client, recorder, again=lambda copy: instrument(copy, publisher, provider=provider))
    return client


def guess_provider(client: Any) -> str:
    """Return whom this client asks, by its class and base URL: a known host, else a usual port.

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
    known = next((name for end, name in HOSTS.items() if host == end or host.endswith(f".{end}")), None)
    return known or PORTS.get(url.port or 0, OTHER)


def _request(body: Mapping[str, Any]) -> Json:
    return {
        "request_model": text(body.get("model")),
        "messages": [_chat.message(one) for one in rows(body.get("messages"))],
        "parameters": parameters(body, CONTENT),
        "unless_given": {"user_id": text(body.get("safety_identifier")) or text(body.get("user"))},
    }


def _text_request(body: Mapping[str, Any]) -> Json:
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else rows(prompt)
    said = [one if isinstance(one, str) else as_json(one) for one in prompts]  # a prompt may be a list of token numbers
    return {**_request(body), "messages": [{"role": "user", "content": one} for one in said]}


def _text_answer(completion: Any) -> Json:
    choices = [
        {
            "content": text(get(one, "text")),
            "finish_reason": text(get(one, "finish_reason")) or None,
            "logprobs": log_probabilities(get(one, "logprobs", "token_logprobs")) or None,
        }
        for one in rows(get(completion, "choices"))
    ]
    return {**_chat.answer(completion), "choices": choices}


APIS = {
    "/chat/completions": _sdk.Api(_request, _chat.answer, _chat.Gathered),
    "/completions": _sdk.Api(_text_request, _text_answer, _chat.Gathered),
    "/responses": RESPONSES,
}

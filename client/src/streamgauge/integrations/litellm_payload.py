"""Reader of LiteLLM's ``StandardLoggingPayload`` and of the fields that it omits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streamgauge import call_context
from streamgauge.integrations import _chat_completions, anthropic, openai
from streamgauge.integrations._accessors import Json, get, rows, text
from streamgauge.integrations._api import Api
from streamgauge.integrations.litellm_guardrails import verdicts

CHAT, COMPLETIONS = openai.APIS["/chat/completions"], openai.APIS["/completions"]
RESPONSES, MESSAGES = openai.APIS["/responses"], anthropic.APIS["/v1/messages"]
CALLS: Mapping[str, Api] = {
    "completion": CHAT,
    "acompletion": CHAT,
    "text_completion": CHAT,
    "atext_completion": CHAT,
    "responses": RESPONSES,
    "aresponses": RESPONSES,
    "anthropic_messages": MESSAGES,
    "aanthropic_messages": MESSAGES,
}
"""Reader by call type. Embeddings, images and other call types are not LLM calls."""

CONVERSATION_NAMES = ("conversation_id", "session_id", "thread_id")
CLIENT_DISCONNECTED = "499"


def request(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return the arguments of `Call.start`."""
    prompt = payload.get("messages")
    settings = payload.get("model_parameters") or {}
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    converted = CALLS[payload["call_type"]].read_request({**settings, "messages": messages, "input": prompt})
    metadata = _metadata(kwargs, payload)
    provider = text(payload.get("custom_llm_provider"))
    return {
        "provider": provider,
        "request_model": text(payload.get("model")).removeprefix(f"{provider}/"),
        "messages": converted["messages"],
        "parameters": {name: value for name, value in converted["parameters"].items() if name != "input"},
        "documents": _retrieved(payload),
        "tags": _tags(payload),
        **_named(metadata, payload),
    }


def _metadata(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return the caller's metadata; the proxy keeps a copy of it inside its own metadata."""
    params = kwargs.get("litellm_params") or {}
    requester = get(payload, "metadata", "requester_metadata")
    return {**(params.get("litellm_metadata") or {}), **(params.get("metadata") or {}), **(requester or {})}


def _named(metadata: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return prompt, conversation and user: from the metadata, then `streamgauge.context`, then LiteLLM itself."""
    context = call_context.current()
    managed = text(get(payload, "metadata", "prompt_management_metadata", "prompt_id"))
    name = _first(metadata, "prompt_name") or ("" if context.prompt_name else managed)
    user = _first(metadata, "user_id") or (
        "" if context.user_id else text(payload.get("end_user")) or _end_user(payload)
    )
    conversation = _first(metadata, *CONVERSATION_NAMES) or (
        "" if context.conversation_id else text(payload.get("session_id"))
    )
    named = {"prompt_name": name, "conversation_id": conversation, "user_id": user}
    if name:
        named["prompt_version"] = _first(metadata, "prompt_version")
    return {field: value for field, value in named.items() if value}


def _end_user(payload: Mapping[str, Any]) -> str:
    return text(get(payload, "model_parameters", "user"))


def _first(fields: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if (value := fields.get(name)) not in (None, "")), "")


def _tags(payload: Mapping[str, Any]) -> dict[str, str]:
    request_tags = [tag for tag in rows(payload.get("request_tags")) if not str(tag).startswith("User-Agent: ")]
    tags = {
        "model_group": text(payload.get("model_group")),
        "trace_id": text(payload.get("trace_id")),
        "team": text(get(payload, "metadata", "user_api_key_team_alias")),
        "key": text(get(payload, "metadata", "user_api_key_alias")),
        "tags": ",".join(map(str, request_tags)),
        "cache_hit": "true" if payload.get("cache_hit") is True else "",
    }
    return {name: value for name, value in tags.items() if value}


def _retrieved(payload: Mapping[str, Any]) -> list[Json]:
    """Convert the search results of LiteLLM's vector stores."""
    searches = rows(get(payload, "metadata", "vector_store_request_metadata"))
    results = [result for search in searches for result in rows(get(search, "vector_store_search_response", "data"))]
    return [_document(result) for result in results]


def _document(result: Any) -> Json:
    passages = [text(get(part, "text")) for part in rows(get(result, "content"))]
    source = text(get(result, "filename")) or None
    return {
        "id": text(get(result, "file_id")),
        "text": "\n".join(passages),
        "score": get(result, "score"),
        "source": source,
    }


def times(payload: Mapping[str, Any]) -> tuple[str, float, float | None]:
    """Return start time, latency and, for a streamed call, the time to the first token."""
    started, ended, first = payload["startTime"], payload["endTime"], payload["completionStartTime"]
    time = datetime.fromtimestamp(started, UTC).isoformat().replace("+00:00", "Z")
    ttft = max(first - started, 0.0) * 1e3 if payload.get("stream") and first else None
    return time, max(ended - started, 0.0) * 1e3, ttft


def response(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return the arguments of `Call.finish`."""
    converted = _response(payload.get("response"))
    converted["usage"] = _usage(payload)
    converted["response_model"] = _served_model(kwargs, payload, text(converted.get("response_model")))
    if (cost := _cost(payload)) is not None:
        converted["cost_usd"] = cost
    if guardrails := verdicts(payload.get("guardrail_information")):
        converted["guardrails"] = guardrails
    return {**converted, **_failure(kwargs, payload)}


def _response(raw_response: Any) -> Json:
    if not isinstance(raw_response, Mapping) or not raw_response:
        return {}
    if "output" in raw_response:
        return RESPONSES.read_response(raw_response)
    if "content" in raw_response:
        return MESSAGES.read_response(raw_response)
    texts = any("text" in choice for choice in rows(raw_response.get("choices")))
    return (COMPLETIONS if texts else CHAT).read_response(raw_response)


def _usage(payload: Mapping[str, Any]) -> Json | None:
    """Convert the token counts, which LiteLLM reports as chat completions do; ``None`` if it counted none."""
    usage = _chat_completions.usage(get(payload, "metadata", "usage_object"))
    return usage if usage and (usage["input_tokens"] or usage["output_tokens"]) else None


def _served_model(kwargs: Mapping[str, Any], payload: Mapping[str, Any], reported: str) -> str:
    """Return the model that served the call; the response itself may hold the proxy's alias."""
    known = text(get(kwargs, "litellm_params", "metadata", "hidden_params", "provider_response_model"))
    return known or ("" if reported == payload.get("model_group") else reported)


def _cost(payload: Mapping[str, Any]) -> float | None:
    cost = payload.get("response_cost")
    known = isinstance(cost, (int, float)) and (cost > 0 or payload.get("cache_hit") is True)
    return float(cost) if known and cost is not None else None


def _failure(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    if text(get(payload, "error_information", "error_code")) == CLIENT_DISCONNECTED:
        return {"tags": {"stream": "abandoned"}}  # the proxy's client disconnected before the end of the response
    if payload.get("status") != "failure":
        return {}
    return {"error": kwargs.get("exception") or {"type": "Error", "message": text(payload.get("error_str"))}}

"""LiteLLM's ``StandardLoggingPayload``, and what it leaves out, read for an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streamgauge import call_context
from streamgauge.integrations import _chat, anthropic, openai
from streamgauge.integrations._reading import Json, get, rows, text
from streamgauge.integrations._sdk import Api
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
"""How the prompt of a type of call is written. Embeddings, images and the like are no calls of a language model."""

CONVERSATION = ("conversation_id", "session_id", "thread_id")
DISCONNECTED = "499"


def request(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return what `Call.begin` is to be given."""
    asked = payload.get("messages")
    settings = payload.get("model_parameters") or {}
    said = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    found = CALLS[payload["call_type"]].request({**settings, "messages": said, "input": asked})
    metadata = _metadata(kwargs, payload)
    provider = text(payload.get("custom_llm_provider"))
    return {
        "provider": provider,
        "request_model": text(payload.get("model")).removeprefix(f"{provider}/"),
        "messages": found["messages"],
        "parameters": {name: value for name, value in found["parameters"].items() if name != "input"},
        "documents": _retrieved(payload),
        "tags": _tags(payload),
        **_named(metadata, payload),
    }


def _metadata(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return the caller's metadata. The proxy keeps a copy of it among its own."""
    params = kwargs.get("litellm_params") or {}
    own = get(payload, "metadata", "requester_metadata")
    return {**(params.get("litellm_metadata") or {}), **(params.get("metadata") or {}), **(own or {})}


def _named(metadata: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return prompt, conversation and user: what the metadata says, then `streamgauge.context`, then LiteLLM itself."""
    now = call_context.current()
    managed = text(get(payload, "metadata", "prompt_management_metadata", "prompt_id"))
    name = _word(metadata, "prompt_name") or ("" if now.prompt_name else managed)
    user = _word(metadata, "user_id") or ("" if now.user_id else text(payload.get("end_user")) or _asker(payload))
    conversation = _word(metadata, *CONVERSATION) or ("" if now.conversation_id else text(payload.get("session_id")))
    named = {"prompt_name": name, "conversation_id": conversation, "user_id": user}
    if name:
        named["prompt_version"] = _word(metadata, "prompt_version")
    return {field: value for field, value in named.items() if value}


def _asker(payload: Mapping[str, Any]) -> str:
    return text(get(payload, "model_parameters", "user"))


def _word(found: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if (value := found.get(name)) not in (None, "")), "")


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
    """Return what LiteLLM's vector stores found for the prompt."""
    searches = rows(get(payload, "metadata", "vector_store_request_metadata"))
    found = [one for search in searches for one in rows(get(search, "vector_store_search_response", "data"))]
    return [_document(one) for one in found]


def _document(found: Any) -> Json:
    passages = [text(get(part, "text")) for part in rows(get(found, "content"))]
    source = text(get(found, "filename")) or None
    return {
        "id": text(get(found, "file_id")),
        "text": "\n".join(passages),
        "score": get(found, "score"),
        "source": source,
    }


def times(payload: Mapping[str, Any]) -> tuple[str, float, float | None]:
    """Return when the call began, how long it took, and when its first token came where it was streamed."""
    began, ended, first = payload["startTime"], payload["endTime"], payload["completionStartTime"]
    at = datetime.fromtimestamp(began, UTC).isoformat().replace("+00:00", "Z")
    ttft = max(first - began, 0.0) * 1e3 if payload.get("stream") and first else None
    return at, max(ended - began, 0.0) * 1e3, ttft


def answer(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    """Return what `Call.finish` is to be given."""
    found = _answered(payload.get("response"))
    found["usage"] = _usage(payload)
    found["response_model"] = _served(kwargs, payload, text(found.get("response_model")))
    if (cost := _cost(payload)) is not None:
        found["cost_usd"] = cost
    if judged := verdicts(payload.get("guardrail_information")):
        found["guardrails"] = judged
    return {**found, **_failure(kwargs, payload)}


def _answered(response: Any) -> Json:
    if not isinstance(response, Mapping) or not response:
        return {}
    if "output" in response:
        return RESPONSES.answer(response)
    if "content" in response:
        return MESSAGES.answer(response)
    texts = any("text" in choice for choice in rows(response.get("choices")))
    return (COMPLETIONS if texts else CHAT).answer(response)


def _usage(payload: Mapping[str, Any]) -> Json | None:
    """Return the tokens, which LiteLLM brings into the shape of chat completions; nothing where it counted none."""
    counted = _chat.usage(get(payload, "metadata", "usage_object"))
    return counted if counted and (counted["input_tokens"] or counted["output_tokens"]) else None


def _served(kwargs: Mapping[str, Any], payload: Mapping[str, Any], named: str) -> str:
    """Return which model answered; the response itself may name the proxy's alias for it."""
    known = text(get(kwargs, "litellm_params", "metadata", "hidden_params", "provider_response_model"))
    return known or ("" if named == payload.get("model_group") else named)


def _cost(payload: Mapping[str, Any]) -> float | None:
    cost = payload.get("response_cost")
    known = isinstance(cost, (int, float)) and (cost > 0 or payload.get("cache_hit") is True)
    return float(cost) if known and cost is not None else None


def _failure(kwargs: Mapping[str, Any], payload: Mapping[str, Any]) -> Json:
    if text(get(payload, "error_information", "error_code")) == DISCONNECTED:
        return {"tags": {"stream": "abandoned"}}  # whoever asked the proxy left before the answer was whole
    if payload.get("status") != "failure":
        return {}
    return {"error": kwargs.get("exception") or {"type": "Error", "message": text(payload.get("error_str"))}}

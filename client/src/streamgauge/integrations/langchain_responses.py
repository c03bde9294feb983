"""Reader of LangChain's results: choices, usage, and each provider's names for the other fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from streamgauge.integrations._accessors import Json, count, get, log_probabilities, text
from streamgauge.integrations.langchain_requests import tool_calls

FINISH_REASON_NAMES = ("finish_reason", "stop_reason", "done_reason", "stopReason")
MODEL_NAMES = ("model_name", "model", "model_id", "model_version")

CACHE_HIT: Json = {"cost_usd": 0.0, "tags": {"cache_hit": "true"}}


def llm_result(response: LLMResult) -> Json:
    """Return the arguments of `Call.finish`."""
    generations = [g for group in response.generations for g in group if _has_output(g)]
    shared = response.llm_output or {}
    metadata = [{**shared, **_metadata(g)} for g in generations] or [shared]
    return {
        "choices": [_choice(generation, fields) for generation, fields in zip(generations, metadata, strict=False)],
        "usage": _usage(generations, metadata[0]),
        "response_model": _first(metadata[0], MODEL_NAMES),
        "system_fingerprint": text(metadata[0].get("system_fingerprint")) or None,
        **(CACHE_HIT if any(map(_is_cached, generations)) else {}),
    }


def complete(converted: Json) -> bool:
    """Return whether every choice has a finish reason."""
    choices = converted.get("choices") or ()
    return bool(choices) and all(choice["finish_reason"] for choice in choices)


def _has_output(generation: Generation) -> bool:
    # For an error LangChain creates an empty generation with the HTTP response.
    return bool(generation.text) or get(generation, "message", "response_metadata", "status_code") is None


def _is_cached(generation: Generation) -> bool:
    # LangChain's cache repeats a response with its original token counts; only this cost marks the hit.
    return bool(get(generation, "message", "usage_metadata", "total_cost") == 0)


def _metadata(generation: Generation) -> Json:
    message = getattr(generation, "message", None)
    return {**(generation.generation_info or {}), **(message.response_metadata if message is not None else {})}


def _choice(generation: Generation, metadata: Mapping[str, Any]) -> Json:
    choice: Json = {"content": generation.text, "finish_reason": _first(metadata, FINISH_REASON_NAMES) or None}
    message = getattr(generation, "message", None)
    if isinstance(message, AIMessage):
        if refusal := text(message.additional_kwargs.get("refusal")):
            choice["content"] = generation.text or refusal
        if calls := tool_calls(message):
            choice["tool_calls"] = calls
    logprob_tokens = metadata.get("logprobs")
    if logprobs := log_probabilities(
        get(logprob_tokens, "content") or get(logprob_tokens, "token_logprobs") or logprob_tokens
    ):
        choice["logprobs"] = logprobs
    return choice


def _first(metadata: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := text(metadata.get(name)))), "")


def _usage(generations: list[Generation], metadata: Mapping[str, Any]) -> Json | None:
    """Return the token counts of the call, which LangChain repeats in each choice."""
    for generation in generations:
        raw_usage = get(generation.message, "usage_metadata") if isinstance(generation, ChatGeneration) else None
        if raw_usage:
            return {
                "input_tokens": count(raw_usage["input_tokens"]),
                "output_tokens": count(raw_usage["output_tokens"]),
                "cached_tokens": count(get(raw_usage, "input_token_details", "cache_read")),
                "reasoning_tokens": count(get(raw_usage, "output_token_details", "reasoning")),
            }
    raw_usage = metadata.get("token_usage")
    if not raw_usage:
        return None
    return {
        "input_tokens": count(raw_usage.get("prompt_tokens")),
        "output_tokens": count(raw_usage.get("completion_tokens")),
    }


def has_tool_call(chunk: Any) -> bool:
    """Return whether a chunk has a part of a tool call."""
    return bool(get(chunk, "message", "tool_call_chunks"))


def token_text(token: Any) -> str:
    """Return the text of a token, which may be a list of content blocks."""
    if isinstance(token, str):
        return token
    return "".join(text(get(block, "text")) for block in token if get(block, "type") == "text")

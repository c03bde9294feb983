"""What a model answered in LangChain: choices, usage, and the names under which each provider tells the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from streamgauge.integrations._reading import Json, count, get, log_probabilities, text
from streamgauge.integrations.langchain_requests import tool_calls

FINISH = ("finish_reason", "stop_reason", "done_reason", "stopReason")
MODEL = ("model_name", "model", "model_id", "model_version")

CACHED: Json = {"cost_usd": 0.0, "tags": {"cache_hit": "true"}}


def answer(response: LLMResult) -> Json:
    """Return what `Call.finish` is to be given."""
    generations = [g for group in response.generations for g in group if _says_something(g)]
    common = response.llm_output or {}
    told = [{**common, **_told(g)} for g in generations] or [common]
    return {
        "choices": [_choice(generation, about) for generation, about in zip(generations, told, strict=False)],
        "usage": _usage(generations, told[0]),
        "response_model": _first(told[0], MODEL),
        "system_fingerprint": text(told[0].get("system_fingerprint")) or None,
        **(CACHED if any(map(_is_cached, generations)) else {}),
    }


def complete(answered: Json) -> bool:
    """Return whether the model had said that it was done."""
    choices = answered.get("choices") or ()
    return bool(choices) and all(choice["finish_reason"] for choice in choices)


def _says_something(generation: Generation) -> bool:
    # For an error LangChain makes up an empty generation that carries the HTTP response.
    return bool(generation.text) or get(generation, "message", "response_metadata", "status_code") is None


def _is_cached(generation: Generation) -> bool:
    # LangChain's cache gives the answer again with the tokens it once took, and marks it by this cost alone.
    return bool(get(generation, "message", "usage_metadata", "total_cost") == 0)


def _told(generation: Generation) -> Json:
    message = getattr(generation, "message", None)
    return {**(generation.generation_info or {}), **(message.response_metadata if message is not None else {})}


def _choice(generation: Generation, told: Mapping[str, Any]) -> Json:
    choice: Json = {"content": generation.text, "finish_reason": _first(told, FINISH) or None}
    message = getattr(generation, "message", None)
    if isinstance(message, AIMessage):
        if refusal := text(message.additional_kwargs.get("refusal")):
            choice["content"] = generation.text or refusal
        if calls := tool_calls(message):
            choice["tool_calls"] = calls
    scored = told.get("logprobs")
    if logprobs := log_probabilities(get(scored, "content") or get(scored, "token_logprobs") or scored):
        choice["logprobs"] = logprobs
    return choice


def _first(told: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := text(told.get(name)))), "")


def _usage(generations: list[Generation], told: Mapping[str, Any]) -> Json | None:
    """Return the tokens of the whole call, which LangChain repeats in each of its choices."""
    for generation in generations:
        counted = get(generation.message, "usage_metadata") if isinstance(generation, ChatGeneration) else None
        if counted:
            return {
                "input_tokens": count(counted["input_tokens"]),
                "output_tokens": count(counted["output_tokens"]),
                "cached_tokens": count(get(counted, "input_token_details", "cache_read")),
                "reasoning_tokens": count(get(counted, "output_token_details", "reasoning")),
            }
    counted = told.get("token_usage")
    if not counted:
        return None
    return {
        "input_tokens": count(counted.get("prompt_tokens")),
        "output_tokens": count(counted.get("completion_tokens")),
    }


def has_tool_call(chunk: Any) -> bool:
    """Return whether a chunk brings a piece of a tool call."""
    return bool(get(chunk, "message", "tool_call_chunks"))


def spoken(token: Any) -> str:
    """Return the text of a token, which may be a list of content blocks."""
    if isinstance(token, str):
        return token
    return "".join(text(get(block, "text")) for block in token if get(block, "type") == "text")

"""Reader of OpenAI's Responses API: input items, output items and the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.integrations._accessors import (
    Json,
    as_json,
    count,
    flat,
    get,
    log_probabilities,
    parameters,
    role,
    rows,
    text,
)
from streamgauge.integrations._api import Api

CONTENT = frozenset(
    {"conversation", "input", "instructions", "metadata", "model", "prompt", "safety_identifier", "tools", "user"}
)
END_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
NON_MESSAGE_ITEMS = frozenset({"reasoning", "compaction", "item_reference", "mcp_list_tools"})


def _request(body: Mapping[str, Any]) -> Json:
    instructions = text(body.get("instructions"))
    prompt = body.get("input")
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _messages(rows(prompt))
    return {
        "request_model": text(body.get("model")),
        "messages": ([{"role": "system", "content": instructions}] if instructions else []) + messages,
        "parameters": parameters(body, CONTENT),
        "context_fallbacks": {
            "user_id": text(body.get("safety_identifier")) or text(body.get("user")),
            "conversation_id": text(body.get("conversation")) or text(get(body, "conversation", "id")),
            "prompt_name": text(get(body, "prompt", "id")),
            "prompt_version": text(get(body, "prompt", "version")),
        },
    }


def _messages(items: Any) -> list[Json]:
    return [message for item in items if (message := _message(item)) is not None]


def _message(item: Any) -> Json | None:
    kind = text(get(item, "type")) or "message"
    if kind == "message":
        return {"role": role(get(item, "role")), "content": flat(get(item, "content"))}
    if kind in NON_MESSAGE_ITEMS:
        return None
    if kind.endswith("_output"):
        return {"role": "tool", "content": _output(get(item, "output")), "tool_call_id": text(get(item, "call_id"))}
    if kind.endswith("_call"):
        return {"role": "assistant", "content": "", "tool_calls": [_tool_call(item)]}
    return {"role": "user", "content": f"[{kind}]"}


def _output(output: Any) -> str:
    parts = rows(output)
    if parts and all(text(get(part, "type")).startswith("input_") for part in parts):
        return flat(parts)
    return as_json(output)


def _tool_call(item: Any) -> Json:
    kind = text(get(item, "type"))
    arguments = get(item, "arguments") or get(item, "input") or get(item, "action") or get(item, "queries")
    if arguments is not None and not isinstance(arguments, (str, list, dict)):
        arguments = arguments.to_dict()  # an SDK object, for example the action of a built-in tool
    call_id = text(get(item, "call_id")) or text(get(item, "id"))
    name = text(get(item, "name")) or kind.removesuffix("_call")
    return {"id": call_id, "name": name, "arguments": as_json(arguments)}


def _response(response: Any) -> Json:
    output = rows(get(response, "output"))
    reason = text(get(response, "incomplete_details", "reason")) or text(get(response, "status"))
    return {
        **_identity(response),
        "choices": [_choice(output, reason or None)] if output else [],
        "usage": _usage(get(response, "usage")),
        **_failure(get(response, "error")),
        "documents": _searched_documents(output),
    }


def _identity(response: Any) -> Json:
    return {"response_model": text(get(response, "model")), "response_id": text(get(response, "id"))}


def _choice(output: Any, reason: str | None) -> Json:
    parts = [part for item in output if get(item, "type") == "message" for part in rows(get(item, "content"))]
    logprob_tokens = [token for part in parts for token in rows(get(part, "logprobs"))]
    return {
        "content": flat(parts),
        "finish_reason": reason,
        "tool_calls": [_tool_call(item) for item in output if text(get(item, "type")).endswith("_call")],
        "logprobs": log_probabilities(logprob_tokens) or None,
        **({"refusal": True} if any(get(part, "type") == "refusal" for part in parts) else {}),
    }


def _usage(raw_usage: Any) -> Json | None:
    if raw_usage is None:
        return None
    return {
        "input_tokens": count(get(raw_usage, "input_tokens")),
        "output_tokens": count(get(raw_usage, "output_tokens")),
        "cached_tokens": count(get(raw_usage, "input_tokens_details", "cached_tokens")),
        "reasoning_tokens": count(get(raw_usage, "output_tokens_details", "reasoning_tokens")),
    }


def _failure(error: Any) -> Json:
    if error is None:
        return {}
    return {"error": {"type": text(get(error, "code")) or "error", "message": text(get(error, "message"))}}


def _searched_documents(output: Any) -> list[Json]:
    """Return the passages that OpenAI's file search gave the model."""
    results = [
        result for item in output if get(item, "type") == "file_search_call" for result in rows(get(item, "results"))
    ]
    return [_document(result) for result in results if text(get(result, "text"))]


def _document(result: Any) -> Json:
    score = get(result, "score")
    return {
        "id": text(get(result, "file_id")),
        "text": text(get(result, "text")),
        "score": score if isinstance(score, (int, float)) else None,
        "source": text(get(result, "filename")) or None,
    }


class ResponseAccumulator:
    """Accumulator of a streamed response; its last event holds the complete response."""

    def __init__(self) -> None:
        self._identity: Json = {}
        self._texts: dict[tuple[Any, Any], list[str]] = {}
        self._items: dict[Any, Any] = {}
        self._complete: Any = None
        self._error: Json = {}

    @property
    def complete(self) -> bool:
        """True if the last event has arrived."""
        return self._complete is not None or bool(self._error)

    def add(self, item: Any) -> bool:
        """Add an event."""
        kind = text(get(item, "type"))
        if kind.endswith(".delta"):
            return self._add_delta(kind, item)
        if kind in END_EVENTS:
            self._complete = get(item, "response")
        elif kind == "response.created":
            self._identity = _identity(get(item, "response"))
        elif kind == "response.output_item.done":
            self._items[get(item, "output_index")] = get(item, "item")
        elif kind == "error":
            self._error = _failure(get(item, "error") or item)
        return False

    def _add_delta(self, kind: str, item: Any) -> bool:
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            position = (get(item, "output_index"), get(item, "content_index"))
            self._texts.setdefault(position, []).append(text(get(item, "delta")))
        return True

    def result(self) -> Json:
        """Return the response so far."""
        return {**(self._partial() if self._complete is None else _response(self._complete)), **self._error}

    def _partial(self) -> Json:
        done = [self._items[index] for index in sorted(self._items)]
        choice = _choice(done, None)
        choice["content"] = "\n".join("".join(self._texts[position]) for position in sorted(self._texts))
        has_output = choice["content"] or choice["tool_calls"]
        return {**self._identity, "choices": [choice] if has_output else [], "documents": _searched_documents(done)}


RESPONSES = Api(_request, _response, ResponseAccumulator)

"""OpenAI's Responses API: a list of items in, a list of items out, and a stream of events about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.integrations import _sdk
from streamgauge.integrations._reading import (
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

CONTENT = frozenset(
    {"conversation", "input", "instructions", "metadata", "model", "prompt", "safety_identifier", "tools", "user"}
)
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
UNSAID = frozenset({"reasoning", "compaction", "item_reference", "mcp_list_tools"})


def _request(body: Mapping[str, Any]) -> Json:
    instructions = text(body.get("instructions"))
    asked = body.get("input")
    said = [{"role": "user", "content": asked}] if isinstance(asked, str) else _messages(rows(asked))
    return {
        "request_model": text(body.get("model")),
        "messages": ([{"role": "system", "content": instructions}] if instructions else []) + said,
        "parameters": parameters(body, CONTENT),
        "unless_given": {
            "user_id": text(body.get("safety_identifier")) or text(body.get("user")),
            "conversation_id": text(body.get("conversation")) or text(get(body, "conversation", "id")),
            "prompt_name": text(get(body, "prompt", "id")),
            "prompt_version": text(get(body, "prompt", "version")),
        },
    }


def _messages(items: Any) -> list[Json]:
    return [said for item in items if (said := _message(item)) is not None]


def _message(item: Any) -> Json | None:
    kind = text(get(item, "type")) or "message"
    if kind == "message":
        return {"role": role(get(item, "role")), "content": flat(get(item, "content"))}
    if kind in UNSAID:
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
        arguments = arguments.to_dict()  # an object of the SDK, as a built-in tool's action
    call_id = text(get(item, "call_id")) or text(get(item, "id"))
    name = text(get(item, "name")) or kind.removesuffix("_call")
    return {"id": call_id, "name": name, "arguments": as_json(arguments)}


def _answer(response: Any) -> Json:
    output = rows(get(response, "output"))
    reason = text(get(response, "incomplete_details", "reason")) or text(get(response, "status"))
    return {
        **_about(response),
        "choices": [_choice(output, reason or None)] if output else [],
        "usage": _usage(get(response, "usage")),
        **_failure(get(response, "error")),
        "documents": _found(output),
    }


def _about(response: Any) -> Json:
    return {"response_model": text(get(response, "model")), "response_id": text(get(response, "id"))}


def _choice(output: Any, reason: str | None) -> Json:
    parts = [part for item in output if get(item, "type") == "message" for part in rows(get(item, "content"))]
    scored = [token for part in parts for token in rows(get(part, "logprobs"))]
    return {
        "content": flat(parts),
        "finish_reason": reason,
        "tool_calls": [_tool_call(item) for item in output if text(get(item, "type")).endswith("_call")],
        "logprobs": log_probabilities(scored) or None,
        **({"refusal": True} if any(get(part, "type") == "refusal" for part in parts) else {}),
    }


def _usage(counted: Any) -> Json | None:
    if counted is None:
        return None
    return {
        "input_tokens": count(get(counted, "input_tokens")),
        "output_tokens": count(get(counted, "output_tokens")),
        "cached_tokens": count(get(counted, "input_tokens_details", "cached_tokens")),
        "reasoning_tokens": count(get(counted, "output_tokens_details", "reasoning_tokens")),
    }


def _failure(error: Any) -> Json:
    if error is None:
        return {}
    return {"error": {"type": text(get(error, "code")) or "error", "message": text(get(error, "message"))}}


def _found(output: Any) -> list[Json]:
    """Return the passages that a file search of OpenAI's put before the model."""
    results = [one for item in output if get(item, "type") == "file_search_call" for one in rows(get(item, "results"))]
    return [_document(one) for one in results if text(get(one, "text"))]


def _document(result: Any) -> Json:
    score = get(result, "score")
    return {
        "id": text(get(result, "file_id")),
        "text": text(get(result, "text")),
        "score": score if isinstance(score, (int, float)) else None,
        "source": text(get(result, "filename")) or None,
    }


class Gathered:
    """A streamed response as far as it has come. Its last event brings all of it; until then, the pieces count."""

    def __init__(self) -> None:
        self._about: Json = {}
        self._texts: dict[tuple[Any, Any], list[str]] = {}
        self._items: dict[Any, Any] = {}
        self._whole: Any = None
        self._error: Json = {}

    @property
    def complete(self) -> bool:
        """Whether the last event came."""
        return self._whole is not None or bool(self._error)

    def add(self, item: Any) -> bool:
        """Take the next event."""
        kind = text(get(item, "type"))
        if kind.endswith(".delta"):
            return self._add_delta(kind, item)
        if kind in ENDS:
            self._whole = get(item, "response")
        elif kind == "response.created":
            self._about = _about(get(item, "response"))
        elif kind == "response.output_item.done":
            self._items[get(item, "output_index")] = get(item, "item")
        elif kind == "error":
            self._error = _failure(get(item, "error") or item)
        return False

    def _add_delta(self, kind: str, item: Any) -> bool:
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            at = (get(item, "output_index"), get(item, "content_index"))
            self._texts.setdefault(at, []).append(text(get(item, "delta")))
        return True

    def answer(self) -> Json:
        """Return what there is of it."""
        return {**(self._so_far() if self._whole is None else _answer(self._whole)), **self._error}

    def _so_far(self) -> Json:
        done = [self._items[index] for index in sorted(self._items)]
        choice = _choice(done, None)
        choice["content"] = "\n".join("".join(self._texts[at]) for at in sorted(self._texts))
        said = choice["content"] or choice["tool_calls"]
        return {**self._about, "choices": [choice] if said else [], "documents": _found(done)}


RESPONSES = _sdk.Api(_request, _answer, Gathered)

"""Anthropic SDK: ``create``, ``stream`` and ``parse``, also under ``beta``; sync and async; raw responses.

The clients for Amazon, Google and Microsoft are supported too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streamgauge.integrations import _sdk
from streamgauge.integrations._accessors import Json, as_json, count, flat, get, parameters, role, rows, text
from streamgauge.integrations._api import Api
from streamgauge.publisher import EventPublisher

PROVIDER = "anthropic"
CONTENT = frozenset({"container", "mcp_servers", "messages", "metadata", "model", "system", "tools"})
CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens")


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the calls of an ``Anthropic`` or ``AsyncAnthropic`` client and of its copies; return the client.

    Parameters
    ----------
    provider
        ``provider`` of the events; default: ``anthropic``.
    """
    instrumentation = _sdk.ClientInstrumentation(publisher, APIS, provider or PROVIDER)
    _sdk.instrument(client, instrumentation, lambda copy: instrument(copy, publisher, provider=provider))
    return client


def _request(body: Mapping[str, Any]) -> Json:
    system = flat(body.get("system"))
    messages = rows(body.get("messages"))
    return {
        "request_model": text(body.get("model")),
        "messages": ([{"role": "system", "content": system}] if system else [])
        + [converted for message in messages for converted in _messages(message)],
        "documents": [document for message in messages for document in _documents(rows(get(message, "content")))],
        "parameters": parameters(body, CONTENT),
        "context_fallbacks": {"user_id": text(get(body, "metadata", "user_id"))},
    }


def _messages(message: Any) -> list[Json]:
    """Convert a message; tool results inside it become messages of their own, before it."""
    blocks = rows(get(message, "content"))
    results = [_result(block) for block in blocks if text(get(block, "type")) == "tool_result"]
    calls = _tool_calls(blocks)
    content = flat(get(message, "content"))
    if results and not content:
        return results
    converted: Json = {"role": role(get(message, "role")), "content": content}
    return [*results, {**converted, "tool_calls": calls} if calls else converted]


def _result(block: Any) -> Json:
    return {"role": "tool", "content": flat(get(block, "content")), "tool_call_id": text(get(block, "tool_use_id"))}


def _documents(blocks: Iterable[Any]) -> list[Json]:
    """Return the passages that the prompt gives the model for grounding."""
    documents = []
    for block in blocks:
        kind = text(get(block, "type"))
        if kind == "tool_result":
            documents += _documents(rows(get(block, "content")))
        elif kind == "search_result":
            documents.append(_document(block, flat(get(block, "content")), text(get(block, "source"))))
        elif kind == "document":
            data = text(get(block, "source", "data")) if get(block, "source", "type") == "text" else ""
            documents.append(_document(block, data or flat(get(block, "source", "content")), text(get(block, "title"))))
    return [document for document in documents if document["text"]]


def _document(block: Any, content: str, source: str) -> Json:
    return {"id": text(get(block, "title")), "text": content, "source": source or None}


def _tool_calls(blocks: Iterable[Any]) -> list[Json]:
    return [
        {"id": text(get(block, "id")), "name": text(get(block, "name")), "arguments": as_json(get(block, "input"))}
        for block in blocks
        if text(get(block, "type")).endswith("tool_use")
    ]


def _response(message: Any) -> Json:
    blocks = rows(get(message, "content"))
    reason = text(get(message, "stop_reason")) or None
    choice = {
        "content": flat([block for block in blocks if get(block, "type") == "text"]),
        "finish_reason": reason,
        "tool_calls": _tool_calls(blocks),
        **({"refusal": True} if reason == "refusal" else {}),
    }
    return {
        "choices": [choice],
        "usage": _usage(get(message, "usage")),
        "response_model": text(get(message, "model")),
        "response_id": text(get(message, "id")),
    }


def _usage(raw_usage: Any) -> Json | None:
    """Convert the token counts: Anthropic excludes cached tokens from ``input_tokens``, the monitor includes them."""
    if raw_usage is None:
        return None
    read, written = (count(get(raw_usage, name)) for name in CACHE)
    return {
        "input_tokens": count(get(raw_usage, "input_tokens")) + read + written,
        "output_tokens": count(get(raw_usage, "output_tokens")),
        "cached_tokens": read,
        "cache_creation_tokens": written,
        "reasoning_tokens": count(get(raw_usage, "output_tokens_details", "thinking_tokens")),
    }


class MessageAccumulator:
    """Accumulator of a streamed message."""

    def __init__(self) -> None:
        self._message: Json = {}
        self._blocks: dict[Any, Json] = {}
        self._usage: Json = {}
        self._stopped = False

    @property
    def complete(self) -> bool:
        """True if the message has a stop reason."""
        return self._stopped

    def add(self, item: Any) -> bool:
        """Add an event."""
        kind = text(get(item, "type"))
        if kind == "content_block_delta":
            return self._add_delta(self._blocks.setdefault(get(item, "index"), {}), get(item, "delta"))
        if kind == "content_block_start":
            block = get(item, "content_block")
            self._blocks[get(item, "index")] = {
                name: get(block, name) for name in ("type", "id", "name", "text", "input")
            }
        elif kind == "message_start":
            self._message = {name: get(item, "message", name) for name in ("id", "model")}
            self._count(get(item, "message", "usage"))
        elif kind == "message_delta":
            self._message["stop_reason"] = get(item, "delta", "stop_reason")
            self._count(get(item, "usage"))
            self._stopped = True
        elif kind == "error":
            self._message["error"] = get(item, "error")
        return False

    def _add_delta(self, block: Json, delta: Any) -> bool:
        for name in ("text", "partial_json"):
            if piece := get(delta, name):
                block.setdefault(f"{name}s", []).append(text(piece))
        return True

    def _count(self, usage: Any) -> None:
        # Counts are cumulative; the last event repeats some counts of the first event and omits the rest.
        names = ("input_tokens", "output_tokens", *CACHE, "output_tokens_details")
        self._usage.update({name: value for name in names if (value := get(usage, name)) is not None})

    def result(self) -> Json:
        """Return the message so far."""
        blocks = [_joined(self._blocks[index]) for index in sorted(self._blocks)]
        result = _response({**self._message, "content": blocks, "usage": self._usage or None})
        failure = self._message.get("error")
        if failure is not None:
            result["error"] = {"type": text(get(failure, "type")), "message": text(get(failure, "message"))}
        return result


def _joined(block: Json) -> Json:
    content = "".join([text(block.get("text")), *block.get("texts", ())])
    return {**block, "text": content, "input": "".join(block.get("partial_jsons", ())) or block.get("input")}


APIS = {"/v1/messages": Api(_request, _response, MessageAccumulator)}

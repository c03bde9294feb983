"""Anthropic's Messages API: ``create``, ``stream`` and ``parse``, also under ``beta``; sync and async; raw responses.

Amazon's, Google's and Microsoft's variants of the client are watched alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streamgauge.integrations import _sdk
from streamgauge.integrations._reading import Json, as_json, count, flat, get, parameters, role, rows, text
from streamgauge.publisher import EventPublisher

PROVIDER = "anthropic"
CONTENT = frozenset({"container", "mcp_servers", "messages", "metadata", "model", "system", "tools"})
CACHE = ("cache_read_input_tokens", "cache_creation_input_tokens")


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the calls of an ``Anthropic`` or ``AsyncAnthropic`` client, and of its copies; return it.

    Parameters
    ----------
    provider
        The event's ``provider``; ``None``: ``anthropic``.
    """
    recorder = _sdk.Recorder(publisher, APIS, provider or PROVIDER)
    _sdk.instrument(client, recorder, again=lambda copy: instrument(copy, publisher, provider=provider))
    return client


def _request(body: Mapping[str, Any]) -> Json:
    system = flat(body.get("system"))
    said = rows(body.get("messages"))
    return {
        "request_model": text(body.get("model")),
        "messages": ([{"role": "system", "content": system}] if system else [])
        + [one for message in said for one in _messages(message)],
        "documents": [found for message in said for found in _documents(rows(get(message, "content")))],
        "parameters": parameters(body, CONTENT),
        "unless_given": {"user_id": text(get(body, "metadata", "user_id"))},
    }


def _messages(message: Any) -> list[Json]:
    """Return a message, after the results of tools that came in it: for the monitor these are messages of their own."""
    blocks = rows(get(message, "content"))
    results = [_result(block) for block in blocks if text(get(block, "type")) == "tool_result"]
    calls = _tool_calls(blocks)
    content = flat(get(message, "content"))
    if results and not content:
        return results
    said: Json = {"role": role(get(message, "role")), "content": content}
    return [*results, {**said, "tool_calls": calls} if calls else said]


def _result(block: Any) -> Json:
    return {"role": "tool", "content": flat(get(block, "content")), "tool_call_id": text(get(block, "tool_use_id"))}


def _documents(blocks: Iterable[Any]) -> list[Json]:
    """Return the passages that the prompt gives the model to answer from."""
    found = []
    for block in blocks:
        kind = text(get(block, "type"))
        if kind == "tool_result":
            found += _documents(rows(get(block, "content")))
        elif kind == "search_result":
            found.append(_document(block, flat(get(block, "content")), text(get(block, "source"))))
        elif kind == "document":
            data = text(get(block, "source", "data")) if get(block, "source", "type") == "text" else ""
            found.append(_document(block, data or flat(get(block, "source", "content")), text(get(block, "title"))))
    return [document for document in found if document["text"]]


def _document(block: Any, content: str, source: str) -> Json:
    return {"id": text(get(block, "title")), "text": content, "source": source or None}


def _tool_calls(blocks: Iterable[Any]) -> list[Json]:
    return [
        {"id": text(get(block, "id")), "name": text(get(block, "name")), "arguments": as_json(get(block, "input"))}
        for block in blocks
        if text(get(block, "type")).endswith("tool_use")
    ]


def _answer(message: Any) -> Json:
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


def _usage(counted: Any) -> Json | None:
    """Return the token counts; Anthropic counts cached tokens beside ``input_tokens``, the monitor within."""
    if counted is None:
        return None
    read, written = (count(get(counted, name)) for name in CACHE)
    return {
        "input_tokens": count(get(counted, "input_tokens")) + read + written,
        "output_tokens": count(get(counted, "output_tokens")),
        "cached_tokens": read,
        "cache_creation_tokens": written,
        "reasoning_tokens": count(get(counted, "output_tokens_details", "thinking_tokens")),
    }


class Gathered:
    """A streamed message as far as it has come."""

    def __init__(self) -> None:
        self._message: Json = {}
        self._blocks: dict[Any, Json] = {}
        self._usage: Json = {}
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether the message has stopped."""
        return self._stopped

    def add(self, item: Any) -> bool:
        """Take the next event."""
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
        # Counts are cumulative; the last event repeats some of the first and leaves the others out.
        names = ("input_tokens", "output_tokens", *CACHE, "output_tokens_details")
        self._usage.update({name: value for name in names if (value := get(usage, name)) is not None})

    def answer(self) -> Json:
        """Return what there is of it."""
        blocks = [_joined(self._blocks[index]) for index in sorted(self._blocks)]
        whole = _answer({**self._message, "content": blocks, "usage": self._usage or None})
        failure = self._message.get("error")
        if failure is not None:
            whole["error"] = {"type": text(get(failure, "type")), "message": text(get(failure, "message"))}
        return whole


def _joined(block: Json) -> Json:
    said = "".join([text(block.get("text")), *block.get("texts", ())])
    return {**block, "text": said, "input": "".join(block.get("partial_jsons", ())) or block.get("input")}


APIS = {"/v1/messages": _sdk.Api(_request, _answer, Gathered)}

"""OpenAI's Responses API: answers and their event stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from servers.sse import event, pieces

USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 0},
    "output_tokens": 25,
    "output_tokens_details": {"reasoning_tokens": 18},
    "total_tokens": 65,
}
BASE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1780000000,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}


def text_part(text: str, logprobs: Iterable[tuple[str, float]] = ()) -> dict[str, Any]:
    """Return a text of an output message."""
    scored = [{"token": token, "logprob": value, "bytes": [], "top_logprobs": []} for token, value in logprobs]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": scored}


def refusal_part(text: str) -> dict[str, Any]:
    """Return a refusal in an output message."""
    return {"type": "refusal", "refusal": text}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return an output message."""
    content = list(parts or (text_part("Take two tablets."),))
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


def function_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return a call that the model asks for."""
    item = {"id": f"fc_{call_id}", "type": "function_call", "status": "completed", "call_id": call_id}
    return {**item, "name": name, "arguments": arguments}


def response(*output: dict[str, Any], model: str = "gpt-5.2-2026-01-15", **more: Any) -> dict[str, Any]:
    """Return a finished response."""
    items = list(output or (REASONING, message()))
    return {**BASE, "model": model, "status": "completed", "output": items, "usage": USAGE, **more}


def response_events(whole: dict[str, Any]) -> list[bytes]:
    """Return the server-sent events that stream a response."""
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    events.append({"type": "response.in_progress", "response": begun})
    for index, item in enumerate(whole["output"]):
        events += _item_events(index, item)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [event({**data, "sequence_number": n}, data["type"]) for n, data in enumerate(events)]


def _item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"output_index": index}
    started = {**item, "status": "in_progress"} if "status" in item else item
    if item["type"] == "message":
        started = {**started, "content": []}
        inner = [e for n, part in enumerate(item["content"]) for e in _part_events(index, n, part)]
    elif item["type"] == "function_call":
        started = {**started, "arguments": ""}
        inner = _argument_events(index, item)
    else:
        inner = []
    added = {"type": "response.output_item.added", **at, "item": started}
    return [added, *inner, {"type": "response.output_item.done", **at, "item": item}]


def _part_events(index: int, n: int, part: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"output_index": index, "content_index": n, "item_id": "msg_1"}
    added = {"type": "response.content_part.added", **at}
    done = {"type": "response.content_part.done", **at, "part": part}
    if part["type"] == "refusal":
        return [{**added, "part": refusal_part("")}, *_refusal_events(at, part["refusal"]), done]
    return [{**added, "part": text_part("")}, *_text_events(at, part), done]


def _refusal_events(at: dict[str, Any], text: str) -> list[dict[str, Any]]:
    deltas = [{"type": "response.refusal.delta", **at, "delta": piece} for piece in pieces(text)]
    return [*deltas, {"type": "response.refusal.done", **at, "refusal": text}]


def _text_events(at: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    scores = [[one] for one in part["logprobs"]] or [[] for _ in pieces(part["text"])]
    deltas = [
        {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": scored}
        for piece, scored in zip(pieces(part["text"]), scores, strict=True)
    ]
    return [*deltas, {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": part["logprobs"]}]


def _argument_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"output_index": index, "item_id": item["id"]}
    text, half = item["arguments"], len(item["arguments"]) // 2
    kind = "response.function_call_arguments"
    deltas = [{"type": f"{kind}.delta", **at, "delta": part} for part in (text[:half], text[half:])]
    return [*deltas, {"type": f"{kind}.done", **at, "name": item["name"], "arguments": text}]

"""Anthropic's Messages API, in part: messages, their event stream, errors."""

from __future__ import annotations

from typing import Any

from servers.local import Reply, Request, Server
from servers.sse import event, pieces

MODEL = "claude-opus-5-20260801"
USAGE = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 2000,
    "output_tokens": 17,
    "output_tokens_details": {"thinking_tokens": 6},
    "service_tier": "standard",
}
TEXT = {"type": "text", "text": "Take two tablets."}
THINKING = {"type": "thinking", "thinking": "The dose is two.", "signature": "c2ln"}
ERRORS = {
    400: ("invalid_request_error", "max_tokens: must be greater than or equal to 1"),
    401: ("authentication_error", "invalid x-api-key"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}


def tool_use(block_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    """Return a call that the model asks for."""
    return {"type": "tool_use", "id": block_id, "name": name, "input": arguments}


def message(*blocks: dict[str, Any], stop_reason: str = "end_turn", model: str = MODEL) -> dict[str, Any]:
    """Return a finished message."""
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": list(blocks or (TEXT,))}
    return {**body, "stop_reason": stop_reason, "stop_sequence": None, "usage": USAGE}


def events(whole: dict[str, Any]) -> list[bytes]:
    """Return the server-sent events that stream a message."""
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    begun["usage"].pop("output_tokens_details")
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    grown = {name: USAGE[name] for name in USAGE if name != "service_tier"}
    said: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    said += [one for index, block in enumerate(whole["content"]) for one in _block_events(index, block)]
    said += [{"type": "message_delta", "delta": stop, "usage": grown}, {"type": "message_stop"}]
    return [event(one, one["type"]) for one in said]


def _block_events(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    start, deltas = _parts(block)
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
    return {**block, "input": {}}, _json_deltas(block["input"])


def _json_deltas(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = ", ".join(f'"{name}": "{value}"' for name, value in arguments.items())
    return [{"type": "input_json_delta", "partial_json": part} for part in ("", "{", pairs, "}")]


def error_body(status: int) -> dict[str, Any]:
    """Return what the API says of a failure."""
    kind, text = ERRORS[status]
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}


def error(status: int, **more: Any) -> Reply:
    """Return the API's answer to a request that failed."""
    return Reply.of(error_body(status), status, **more)


def send(whole: dict[str, Any], body: dict[str, Any]) -> Reply:
    """Answer with this message, whole or streamed as the request asks."""
    return Reply.stream(events(whole)) if body.get("stream") else Reply.of(whole)


def answer(request: Request) -> Reply:
    """Answer any request of the API with something plausible."""
    if request.path.startswith("/v1/messages"):
        return send(message(model=request.body["model"]), request.body)
    return Reply.of({"type": "error", "error": {"type": "not_found_error", "message": request.path}}, 404)


def serve() -> Server:
    """Return a server of the API."""
    return Server(answer)

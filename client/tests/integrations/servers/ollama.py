"""Ollama's API, in part: chat and generate, unary and as newline-delimited JSON, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from servers.local import Reply, Request, Server
from servers.sse import pieces

ANSWER = "Take two tablets."
COUNTS = {
    "total_duration": 5_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 1_000_000,
    "eval_count": 9,
    "eval_duration": 3_000_000,
}


def _base(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": "2026-11-24T10:00:00.000000Z"}


def chat(model: str, content: str = ANSWER, *, tools: Iterable[tuple[str, dict[str, Any]]] = ()) -> dict[str, Any]:
    """Return an answer to a chat; ``tools`` are (name, arguments)."""
    said: dict[str, Any] = {"role": "assistant", "content": content}
    calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in tools]
    if calls:
        said["tool_calls"] = calls
    return {**_base(model), "message": said, "done": True, "done_reason": "stop", **COUNTS}


def generate(model: str, text: str = ANSWER) -> dict[str, Any]:
    """Return an answer to a prompt."""
    return {**_base(model), "response": text, "done": True, "done_reason": "stop", "context": [1, 2, 3], **COUNTS}


def lines(whole: dict[str, Any]) -> list[bytes]:
    """Return the lines that stream an answer."""
    parts = [{**_base(whole["model"]), **part, "done": False} for part in _parts(whole)]
    last = {**whole, **({"response": ""} if "response" in whole else {"message": {"role": "assistant", "content": ""}})}
    return [json.dumps(line).encode() + b"\n" for line in (*parts, last)]


def _parts(whole: dict[str, Any]) -> list[dict[str, Any]]:
    if "response" in whole:
        return [{"response": piece} for piece in pieces(whole["response"])]
    said = whole["message"]
    texts = [{"message": {"role": "assistant", "content": piece}} for piece in pieces(said["content"])]
    calls = (
        [{"message": {"role": "assistant", "content": "", "tool_calls": said["tool_calls"]}}] if len(said) > 2 else []
    )
    return [*texts, *calls]


def error(status: int, text: str) -> Reply:
    """Return the API's answer to a request that failed."""
    return Reply.of({"error": text}, status)


def send(whole: dict[str, Any], body: dict[str, Any]) -> Reply:
    """Answer with this, whole or streamed as the request asks."""
    return Reply.stream(lines(whole), "application/x-ndjson") if body.get("stream") else Reply.of(whole)


def answer(request: Request) -> Reply:
    """Answer any request of the API with something plausible."""
    body = request.body
    if request.path == "/api/chat":
        return send(chat(body["model"]), body)
    if request.path == "/api/generate":
        return send(generate(body["model"]), body)
    return error(404, f"no route {request.path}")


def serve() -> Server:
    """Return a server of the API."""
    return Server(answer)

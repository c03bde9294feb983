"""Gemini API, in part: generateContent, its stream, errors; also at Vertex AI's paths."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from servers.local import Reply, Request, Server
from servers.sse import event, pieces

ANSWER = "Take two tablets."
USAGE = {
    "promptTokenCount": 31,
    "cachedContentTokenCount": 16,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "toolUsePromptTokenCount": 2,
    "totalTokenCount": 45,
}
ERRORS = {
    400: ("INVALID_ARGUMENT", "Invalid value at 'generation_config.temperature'."),
    403: ("PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    500: ("INTERNAL", "An internal error has occurred."),
}


def text(value: str, *, thought: bool = False) -> dict[str, Any]:
    """Return a text part."""
    return {"text": value, **({"thought": True} if thought else {})}


def function_call(name: str, args: dict[str, Any], call_id: str | None = None) -> dict[str, Any]:
    """Return a part in which the model asks for a function."""
    call: dict[str, Any] = {"name": name, "args": args}
    return {"functionCall": {**call, **({"id": call_id} if call_id else {})}}


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0, **more: Any) -> dict[str, Any]:
    """Return one candidate; without parts it has no content, as a blocked one."""
    content = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    return {**content, "index": index, **({"finishReason": finish} if finish else {}), **more}


def response(*candidates: dict[str, Any], model: str = "gemini-3.8-flash-001", **more: Any) -> dict[str, Any]:
    """Return an answer."""
    picked = list(candidates or (candidate(text(ANSWER)),))
    return {"candidates": picked, "usageMetadata": USAGE, "modelVersion": model, "responseId": "resp-1", **more}


def blocked(reason: str = "SAFETY") -> dict[str, Any]:
    """Return the answer to a prompt that was blocked: no candidates."""
    return {
        "promptFeedback": {"blockReason": reason},
        "usageMetadata": {"promptTokenCount": 31, "totalTokenCount": 31},
        "modelVersion": "gemini-3.8-flash-001",
    }


def chunks(whole: dict[str, Any]) -> list[bytes]:
    """Return the server-sent events that stream an answer: a part or word each, the end and the usage in the last."""
    if "candidates" not in whole:
        return [event(whole)]
    head = {"modelVersion": whole["modelVersion"], "responseId": whole["responseId"]}
    events = [event({**head, "candidates": [piece]}) for one in whole["candidates"] for piece in _pieces(one)]
    return [*events, event({**whole, "candidates": [_end(one) for one in whole["candidates"]]})]


def _pieces(one: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for part in one.get("content", {}).get("parts", ()):
        words = pieces(part["text"]) if "text" in part else [None]
        for word in words:
            shown = part if word is None else {**part, "text": word}
            yield {"content": {"role": "model", "parts": [shown]}, "index": one["index"]}


def _end(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "content": {"role": "model", "parts": [text("")]}}


def error(status: int) -> Reply:
    """Return the API's answer to a request that failed."""
    name, message = ERRORS[status]
    return Reply.of({"error": {"code": status, "message": message, "status": name}}, status)


def answer(request: Request) -> Reply:
    """Answer any request of the API with something plausible."""
    return reply(request, response(model=request.path.rpartition("/")[2].partition(":")[0]))


def reply(request: Request, whole: dict[str, Any]) -> Reply:
    """Answer with this, whole or streamed as the request asks."""
    if ":streamGenerateContent" in request.path:
        return Reply.stream(chunks(whole))
    return Reply.of(whole)


def serve() -> Server:
    """Return a server of the API."""
    return Server(answer)

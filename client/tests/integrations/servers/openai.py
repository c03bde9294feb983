"""OpenAI's API, in part: chat completions, legacy completions, responses, errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from servers.local import Reply, Request, Server
from servers.openai_responses import response, response_events
from servers.sse import event, pieces

CHAT = {"id": "chatcmpl-1", "created": 1780000000, "system_fingerprint": "fp_44709d6fcb", "service_tier": "default"}
USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 12,
    "total_tokens": 31,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
}
ANSWER = "Take two tablets."
DONE = b"data: [DONE]\n\n"
ERRORS = {
    400: ("invalid_request_error", "unsupported_value", "'temperature' does not support 9 with this model."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: key."),
    429: ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    500: ("server_error", None, "The server had an error while processing your request."),
}


def choice(
    content: str | None = ANSWER,
    *,
    index: int = 0,
    finish_reason: str = "stop",
    refusal: str | None = None,
    tools: Iterable[tuple[str, str, str]] = (),
    logprobs: Iterable[tuple[str, float]] | None = None,
) -> dict[str, Any]:
    """Return one choice of a chat completion; ``tools`` are (id, name, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    calls = [{"id": i, "type": "function", "function": {"name": name, "arguments": text}} for i, name, text in tools]
    if calls:
        message["tool_calls"] = calls
    scored = None if logprobs is None else {"content": [_logprob(*pair) for pair in logprobs], "refusal": None}
    return {"index": index, "message": message, "logprobs": scored, "finish_reason": finish_reason}


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}


def completion(*choices: dict[str, Any], model: str = "gpt-5.2-2026-01-15") -> dict[str, Any]:
    """Return a chat completion."""
    picked = list(choices or (choice(),))
    return {**CHAT, "object": "chat.completion", "model": model, "choices": picked, "usage": USAGE}


def chunks(whole: dict[str, Any], *, usage: bool = True) -> list[bytes]:
    """Return the server-sent events that stream a chat completion."""
    base = {**CHAT, "object": "chat.completion.chunk", "model": whole["model"], **({"usage": None} if usage else {})}
    deltas = [delta for one in whole["choices"] for delta in _choice_chunks(one)]
    events = [event({**base, "choices": [delta]}) for delta in deltas]
    if usage:
        events.append(event({**base, "choices": [], "usage": whole["usage"]}))
    return [*events, DONE]


def _choice_chunks(one: dict[str, Any]) -> list[dict[str, Any]]:
    message = one["message"]
    tokens = iter((one["logprobs"] or {}).get("content", []))
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    deltas += [{"content": piece} for piece in pieces(message["content"] or "")]
    deltas += [{"refusal": piece} for piece in pieces(message["refusal"] or "")]
    deltas += [delta for n, call in enumerate(message.get("tool_calls", ())) for delta in _tool_chunks(n, call)]
    shown = [_delta(one, delta, next(tokens, None) if delta.get("content") else None) for delta in deltas]
    return [*shown, {**_delta(one, {}), "finish_reason": one["finish_reason"]}]


def _delta(one: dict[str, Any], delta: dict[str, Any], token: dict[str, Any] | None = None) -> dict[str, Any]:
    scored = None if token is None else {"content": [token], "refusal": None}
    return {"index": one["index"], "delta": delta, "logprobs": scored, "finish_reason": None}


def _tool_chunks(n: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    name, text = call["function"]["name"], call["function"]["arguments"]
    first = {"index": n, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
    half = len(text) // 2
    rest = [{"index": n, "function": {"arguments": part}} for part in (text[:half], text[half:])]
    return [{"tool_calls": [part]} for part in (first, *rest)]


def text_completion(model: str) -> dict[str, Any]:
    """Return an answer of the older completions API, as vLLM and llama.cpp still serve it."""
    logprobs = {
        "tokens": ["Take", " two"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": None,
        "text_offset": [0, 4],
    }
    only = {"index": 0, "text": ANSWER, "logprobs": logprobs, "finish_reason": "length"}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": model,
        "choices": [only],
        "usage": USAGE,
    }


def error(status: int, **more: Any) -> Reply:
    """Return the API's answer to a request that failed."""
    kind, code, message = ERRORS[status]
    return Reply.of({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, **more)


def answer(request: Request) -> Reply:
    """Answer any request of the API with something plausible."""
    body, path = request.body, request.path.partition("?")[0]
    if path.endswith("/responses"):
        whole = response(model=body["model"])
        return Reply.stream(response_events(whole)) if body.get("stream") else Reply.of(whole)
    if path.endswith("/chat/completions"):
        return chat(completion(model=body["model"]), body)
    if path.endswith("/completions"):
        return Reply.of(text_completion(body["model"]))
    return Reply.of({"error": {"message": f"no route {path}", "type": "invalid_request_error"}}, 404)


def chat(whole: dict[str, Any], body: dict[str, Any]) -> Reply:
    """Answer with this chat completion, whole or streamed as the request asks."""
    if not body.get("stream"):
        return Reply.of(whole)
    return Reply.stream(chunks(whole, usage=bool((body.get("stream_options") or {}).get("include_usage"))))


def serve() -> Server:
    """Return a server of the API; its base URL is ``url`` + ``/v1``."""
    return Server(answer)

"""Chat completions, the shape that OpenAI gave them: messages, choices, usage, and the chunks of a stream."""

from __future__ import annotations

from typing import Any

from streamgauge.integrations._reading import Json, as_json, count, flat, get, log_probabilities, role, rows, text

REASONING = ("reasoning_content", "reasoning")
"""Where servers of open models put the thoughts of a model; no part of the answer, but its first token counts."""


def message(said: Any) -> Json:
    """Return a message of the prompt."""
    found: Json = {"role": role(get(said, "role")), "content": flat(get(said, "content")) or text(get(said, "refusal"))}
    calls = tool_calls(said)
    if calls:
        found["tool_calls"] = calls
    for name in ("name", "tool_call_id"):
        if value := text(get(said, name)):
            found[name] = value
    return found


def tool_calls(said: Any) -> list[Json]:
    """Return the calls that a message of the model asks for."""
    calls = [_tool_call(call) for call in rows(get(said, "tool_calls"))]
    older = get(said, "function_call")
    return calls or ([_named("", older)] if text(get(older, "name")) else [])


def _tool_call(call: Any) -> Json:
    custom = get(call, "custom")
    if custom is not None:
        return {"id": text(get(call, "id")), "name": text(get(custom, "name")), "arguments": text(get(custom, "input"))}
    return _named(text(get(call, "id")), get(call, "function"))


def _named(call_id: str, function: Any) -> Json:
    return {"id": call_id, "name": text(get(function, "name")), "arguments": as_json(get(function, "arguments"))}


def choice(one: Any) -> Json:
    """Return an answer of the model; a refusal is its content."""
    said = get(one, "message")
    refusal = text(get(said, "refusal"))
    scored = [*rows(get(one, "logprobs", "content")), *rows(get(one, "logprobs", "refusal"))]
    return {
        "content": flat(get(said, "content")) or refusal or text(get(said, "audio", "transcript")),
        "finish_reason": text(get(one, "finish_reason")) or None,
        "tool_calls": tool_calls(said),
        "logprobs": log_probabilities(scored) or None,
        **({"refusal": True} if refusal else {}),
    }


def usage(counted: Any) -> Json | None:
    """Return the token counts; ``None`` where the server gives none."""
    if counted is None:
        return None
    cached = get(counted, "prompt_tokens_details", "cached_tokens") or get(counted, "prompt_cache_hit_tokens")
    return {
        "input_tokens": count(get(counted, "prompt_tokens")),
        "output_tokens": count(get(counted, "completion_tokens")),
        "cached_tokens": count(cached),
        "reasoning_tokens": count(get(counted, "completion_tokens_details", "reasoning_tokens")),
    }


def answer(completion: Any) -> Json:
    """Return what a whole chat completion says."""
    return {
        "choices": [choice(one) for one in rows(get(completion, "choices"))],
        "usage": usage(get(completion, "usage")),
        **_about(completion),
    }


def _about(item: Any) -> Json:
    return {
        "response_model": text(get(item, "model")),
        "system_fingerprint": text(get(item, "system_fingerprint")) or None,
        "response_id": text(get(item, "id")),
    }


class _Choice:
    """One choice as its pieces come."""

    __slots__ = ("calls", "content", "finish_reason", "refusal", "scored")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, Json] = {}
        self.scored: list[float] = []
        self.finish_reason: str | None = None

    def add(self, piece: Any) -> bool:
        delta = get(piece, "delta")
        content = get(piece, "text") if delta is None else get(delta, "content")  # no delta: the older completions
        if content:
            self.content.append(text(content))
        self.finish_reason = text(get(piece, "finish_reason")) or self.finish_reason
        scored = get(piece, "logprobs")
        if scored is not None:
            for name in ("content", "refusal", "token_logprobs"):
                self.scored += log_probabilities(get(scored, name))
        return bool(content) or self._add_rest(delta)

    def _add_rest(self, delta: Any) -> bool:
        refusal, calls, older = text(get(delta, "refusal")), rows(get(delta, "tool_calls")), get(delta, "function_call")
        if refusal:
            self.refusal.append(refusal)
        for call in calls:
            self._call(get(call, "index") or 0, get(call, "id"), get(call, "function"))
        if older is not None:
            self._call(0, None, older)
        return bool(refusal or calls or older or any(get(delta, name) for name in REASONING))

    def _call(self, index: int, call_id: Any, function: Any) -> None:
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = text(call_id) or call["id"]
        call["name"] += text(get(function, "name"))
        call["arguments"] += text(get(function, "arguments"))

    def whole(self) -> Json:
        refusal = "".join(self.refusal)
        return {
            "content": "".join(self.content) or refusal,
            "finish_reason": self.finish_reason,
            "tool_calls": [self.calls[index] for index in sorted(self.calls)],
            "logprobs": self.scored or None,
            **({"refusal": True} if refusal else {}),
        }


class Gathered:
    """A streamed chat completion (or completion) as far as it has come."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        self._seen: Json = {}
        self._error: Json | None = None

    @property
    def complete(self) -> bool:
        """Whether every choice that began has its finish reason."""
        return bool(self._choices) and all(one.finish_reason for one in self._choices.values())

    def add(self, item: Any) -> bool:
        """Take the next chunk."""
        if not self._choices:
            self._seen = _about(item)
        self._usage = get(item, "usage") or self._usage
        failure = get(item, "error")
        if failure:
            self._error = {"type": text(get(failure, "type")) or "error", "message": text(get(failure, "message"))}
        said = [
            self._choices.setdefault(get(one, "index") or 0, _Choice()).add(one) for one in rows(get(item, "choices"))
        ]
        return any(said)

    def answer(self) -> Json:
        """Return what there is of it."""
        choices = [self._choices[index].whole() for index in sorted(self._choices)]
        error = {"error": self._error} if self._error else {}
        return {**self._seen, "choices": choices, "usage": usage(self._usage), **error}

"""Reader of OpenAI's chat completions: messages, choices, usage, and the chunks of a stream."""

from __future__ import annotations

from typing import Any

from streamgauge.integrations._accessors import Json, as_json, count, flat, get, log_probabilities, role, rows, text

REASONING = ("reasoning_content", "reasoning")
"""Fields in which servers of open models send reasoning. It is not content, but its first token counts."""


def message(raw_message: Any) -> Json:
    """Convert a message of the prompt."""
    converted: Json = {
        "role": role(get(raw_message, "role")),
        "content": flat(get(raw_message, "content")) or text(get(raw_message, "refusal")),
    }
    calls = tool_calls(raw_message)
    if calls:
        converted["tool_calls"] = calls
    for name in ("name", "tool_call_id"):
        if value := text(get(raw_message, name)):
            converted[name] = value
    return converted


def tool_calls(raw_message: Any) -> list[Json]:
    """Convert the tool calls of a message of the model."""
    calls = [_tool_call(call) for call in rows(get(raw_message, "tool_calls"))]
    legacy_call = get(raw_message, "function_call")
    return calls or ([_named("", legacy_call)] if text(get(legacy_call, "name")) else [])


def _tool_call(call: Any) -> Json:
    custom = get(call, "custom")
    if custom is not None:
        return {"id": text(get(call, "id")), "name": text(get(custom, "name")), "arguments": text(get(custom, "input"))}
    return _named(text(get(call, "id")), get(call, "function"))


def _named(call_id: str, function: Any) -> Json:
    return {"id": call_id, "name": text(get(function, "name")), "arguments": as_json(get(function, "arguments"))}


def choice(raw_choice: Any) -> Json:
    """Convert a choice; the content of a refusal is the refusal."""
    raw_message = get(raw_choice, "message")
    refusal = text(get(raw_message, "refusal"))
    scored = [*rows(get(raw_choice, "logprobs", "content")), *rows(get(raw_choice, "logprobs", "refusal"))]
    return {
        "content": flat(get(raw_message, "content")) or refusal or text(get(raw_message, "audio", "transcript")),
        "finish_reason": text(get(raw_choice, "finish_reason")) or None,
        "tool_calls": tool_calls(raw_message),
        "logprobs": log_probabilities(scored) or None,
        **({"refusal": True} if refusal else {}),
    }


def usage(raw_usage: Any) -> Json | None:
    """Convert the token counts; return ``None`` if the server reports none."""
    if raw_usage is None:
        return None
    cached = get(raw_usage, "prompt_tokens_details", "cached_tokens") or get(raw_usage, "prompt_cache_hit_tokens")
    return {
        "input_tokens": count(get(raw_usage, "prompt_tokens")),
        "output_tokens": count(get(raw_usage, "completion_tokens")),
        "cached_tokens": count(cached),
        "reasoning_tokens": count(get(raw_usage, "completion_tokens_details", "reasoning_tokens")),
    }


def completion(raw_completion: Any) -> Json:
    """Convert a complete chat completion."""
    return {
        "choices": [choice(raw_choice) for raw_choice in rows(get(raw_completion, "choices"))],
        "usage": usage(get(raw_completion, "usage")),
        **_identity(raw_completion),
    }


def _identity(item: Any) -> Json:
    return {
        "response_model": text(get(item, "model")),
        "system_fingerprint": text(get(item, "system_fingerprint")) or None,
        "response_id": text(get(item, "id")),
    }


class _ChoiceAccumulator:
    """Accumulator of raw_choice streamed choice."""

    __slots__ = ("calls", "content", "finish_reason", "refusal", "scored")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, Json] = {}
        self.scored: list[float] = []
        self.finish_reason: str | None = None

    def add(self, chunk: Any) -> bool:
        delta = get(chunk, "delta")
        content = (
            get(chunk, "text") if delta is None else get(delta, "content")
        )  # the legacy completions API has no delta
        if content:
            self.content.append(text(content))
        self.finish_reason = text(get(chunk, "finish_reason")) or self.finish_reason
        scored = get(chunk, "logprobs")
        if scored is not None:
            for name in ("content", "refusal", "token_logprobs"):
                self.scored += log_probabilities(get(scored, name))
        return bool(content) or self._add_other_output(delta)

    def _add_other_output(self, delta: Any) -> bool:
        refusal, calls, legacy_call = (
            text(get(delta, "refusal")),
            rows(get(delta, "tool_calls")),
            get(delta, "function_call"),
        )
        if refusal:
            self.refusal.append(refusal)
        for call in calls:
            self._add_call(get(call, "index") or 0, get(call, "id"), get(call, "function"))
        if legacy_call is not None:
            self._add_call(0, None, legacy_call)
        return bool(refusal or calls or legacy_call or any(get(delta, name) for name in REASONING))

    def _add_call(self, index: int, call_id: Any, function: Any) -> None:
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = text(call_id) or call["id"]
        call["name"] += text(get(function, "name"))
        call["arguments"] += text(get(function, "arguments"))

    def result(self) -> Json:
        refusal = "".join(self.refusal)
        return {
            "content": "".join(self.content) or refusal,
            "finish_reason": self.finish_reason,
            "tool_calls": [self.calls[index] for index in sorted(self.calls)],
            "logprobs": self.scored or None,
            **({"refusal": True} if refusal else {}),
        }


class ChatAccumulator:
    """Accumulator of a streamed chat completion or legacy completion."""

    def __init__(self) -> None:
        self._choices: dict[int, _ChoiceAccumulator] = {}
        self._usage: Any = None
        self._identity: Json = {}
        self._error: Json | None = None

    @property
    def complete(self) -> bool:
        """True if every choice has a finish reason."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    def add(self, item: Any) -> bool:
        """Add a chunk."""
        if not self._choices:
            self._identity = _identity(item)
        self._usage = get(item, "usage") or self._usage
        failure = get(item, "error")
        if failure:
            self._error = {"type": text(get(failure, "type")) or "error", "message": text(get(failure, "message"))}
        has_output = [
            self._choices.setdefault(get(chunk, "index") or 0, _ChoiceAccumulator()).add(chunk)
            for chunk in rows(get(item, "choices"))
        ]
        return any(has_output)

    def result(self) -> Json:
        """Return the completion so far."""
        choices = [self._choices[index].result() for index in sorted(self._choices)]
        error = {"error": self._error} if self._error else {}
        return {**self._identity, "choices": choices, "usage": usage(self._usage), **error}

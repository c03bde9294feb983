"""Reader of Gemini responses, complete or in chunks: candidates, usage and verdicts of the safety filters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamgauge.integrations._accessors import Json, as_json
from streamgauge.integrations.google_genai_requests import part_text

BLOCKING_REASONS = frozenset(
    {"SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "MODEL_ARMOR"}
)
"""Finish reasons of responses that a filter ended."""


@dataclass(slots=True)
class _ChoiceAccumulator:
    texts: list[str] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str | None = None

    def result(self) -> Json:
        choice: Json = {"content": "".join(self.texts), "finish_reason": self.finish_reason}
        if self.calls:
            choice["tool_calls"] = [{**call, "arguments": as_json(call["arguments"])} for call in self.calls]
        if self.logprobs:
            choice["logprobs"] = self.logprobs
        return choice


class ResponseAccumulator:
    """Accumulator of a response; a complete response is a single chunk."""

    def __init__(self) -> None:
        self.choices: dict[int, _ChoiceAccumulator] = {}
        self._usage: Any = None
        self._model = ""
        self._id: str | None = None
        self._documents: list[Json] = []
        self._verdicts: list[Json] = []

    @property
    def complete(self) -> bool:
        """True if every candidate has a finish reason, or the prompt was blocked."""
        return bool(self._verdicts) or (bool(self.choices) and all(c.finish_reason for c in self.choices.values()))

    def add(self, response: Any) -> bool:
        """Add a response or a chunk; return whether it has output of the model."""
        self._usage = response.usage_metadata or self._usage
        self._model = response.model_version or self._model
        self._id = response.response_id or self._id
        if (feedback := response.prompt_feedback) and feedback.block_reason:
            self._verdicts.append(_verdict("pre", feedback.block_reason, feedback.safety_ratings))
        for position, candidate in enumerate(response.candidates or ()):
            index = position if candidate.index is None else candidate.index
            self._add_candidate(self.choices.setdefault(index, _ChoiceAccumulator()), candidate)
        return any(candidate.content and candidate.content.parts for candidate in response.candidates or ())

    def _add_candidate(self, choice: _ChoiceAccumulator, candidate: Any) -> None:
        for part in (candidate.content and candidate.content.parts) or ():
            if part.function_call:
                _add_call(choice.calls, part.function_call)
            elif (text := part_text(part)) is not None:
                choice.texts.append(text)
        for token in (candidate.logprobs_result and candidate.logprobs_result.chosen_candidates) or ():
            if token.log_probability is not None:
                choice.logprobs.append(token.log_probability)
        if candidate.finish_reason:
            choice.finish_reason = _name(candidate.finish_reason)
            if choice.finish_reason in BLOCKING_REASONS:
                self._verdicts.append(_verdict("post", candidate.finish_reason, candidate.safety_ratings))
        self._documents += _retrieved(candidate.grounding_metadata)

    def result(self) -> Json:
        """Return the arguments of `Call.finish`."""
        result: Json = {
            "choices": [choice.result() for _, choice in sorted(self.choices.items())],
            "usage": _usage(self._usage),
            "response_model": self._model,
        }
        if self._id:
            result["response_id"] = self._id
        if self._documents:
            result["documents"] = self._documents
        if self._verdicts:
            result["guardrails"] = self._verdicts
        return result


def _add_call(calls: list[Json], call: Any) -> None:
    """Add a function call; Vertex AI may stream its arguments in parts, with the name in the first part only."""
    if call.name or not calls:
        calls.append({"id": call.id or "", "name": call.name or "", "arguments": {}})
    arguments = calls[-1]["arguments"]
    arguments.update(call.args or {})
    for piece in call.partial_args or ():
        path = (piece.json_path or "$").removeprefix("$.")
        if piece.string_value is None:
            arguments[path] = piece.number_value if piece.bool_value is None else piece.bool_value
        else:
            arguments[path] = arguments.get(path, "") + piece.string_value


def _name(reason: Any) -> str:
    return str(getattr(reason, "value", reason))


def _verdict(mode: str, reason: Any, ratings: Any) -> Json:
    """Return the verdict of a safety filter; the provider's filters are a guardrail besides the service's own."""
    blocked = [_name(rating.category) for rating in ratings or () if rating.blocked]
    verdict = {"name": "gemini-safety", "verdict": "block", "mode": mode, "provider": "google"}
    return {**verdict, "categories": [_name(reason), *blocked]}


def _usage(raw_usage: Any) -> Json | None:
    """Convert the token counts: tool results are part of the input, thoughts part of the output."""
    if raw_usage is None:
        return None
    thoughts = raw_usage.thoughts_token_count or 0
    return {
        "input_tokens": (raw_usage.prompt_token_count or 0) + (raw_usage.tool_use_prompt_token_count or 0),
        "output_tokens": (raw_usage.candidates_token_count or 0) + thoughts,
        "cached_tokens": raw_usage.cached_content_token_count or 0,
        "reasoning_tokens": thoughts,
    }


def _retrieved(grounding: Any) -> list[Json]:
    """Return the passages of the provider's retrieval tools; pages of a web search have no text."""
    contexts = [chunk.retrieved_context for chunk in (grounding and grounding.grounding_chunks) or ()]
    return [{"id": c.title or "", "text": c.text, "source": c.uri} for c in contexts if c is not None and c.text]

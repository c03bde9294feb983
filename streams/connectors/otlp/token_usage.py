"""Tokens as an event counts them: cached ones are part of the input, reasoning ones of the output.

Sources differ, and each rule here is one of theirs:

- OpenAI's API includes cached tokens in ``prompt_tokens`` and reasoning tokens in ``completion_tokens``; so do all its
  instrumentations. Nothing is added.
- The GenAI semantic conventions want every kind of input token in ``gen_ai.usage.input_tokens``, and say that the count
  of Anthropic's API excludes cached ones, which the instrumentation must add (docs/gen-ai/anthropic.md, 1.41). The
  official instrumentation, Traceloop's (0.62) and OpenInference's (3.1) add them. Nothing is added here.
- OpenLIT (for Anthropic and Bedrock) and Traceloop's Bedrock instrumentation hand on the provider's count, which
  excludes cached tokens, with a total that excludes them too: cached tokens are added (`_EXCLUDING`).
- Elsewhere the numbers tell. A total that equals input + output + cached says that the input excludes them (Bedrock's
  ``totalTokens``; OpenInference's LangChain instrumentation reasons the same way), as does an input below the cached.
- Gemini's ``candidates_token_count`` excludes thoughts, its total includes them. Traceloop's instrumentation hands
  both on, so for Google the rest of the total is reasoning; the official one and OpenInference's add the thoughts.
- Reasoning above the output, or a total of input + output + reasoning, says that the output excludes it.
"""

from __future__ import annotations

from typing import Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.record_views import SpanView

_MAX: Final = 2**31 - 1
_DETAILS: Final = frozenset({"cache_read", "cache_write", "reasoning"})
_COUNTS: Final = _DETAILS | {"input_tokens", "output_tokens"}
_EXCLUDING: Final = frozenset({"opentelemetry.instrumentation.bedrock"})
"""Scopes whose input count excludes cached tokens and whose total does not show it."""
_OPENLIT_EXCLUDING: Final = frozenset({"anthropic", "aws.bedrock"})


def usage(found: Fields, span: SpanView | None, provider: str) -> dict[str, int] | None:
    """Return the event's usage, None where no count was given."""
    if _COUNTS.isdisjoint(found.plain):
        return None
    inputs, outputs = found.tokens("input_tokens"), found.tokens("output_tokens")
    read = written = reasoning = None
    if not _DETAILS.isdisjoint(found.plain):
        read, written, reasoning = found.tokens("cache_read"), found.tokens("cache_write"), found.tokens("reasoning")
    if inputs is outputs is read is written is reasoning is None:
        return None
    inputs, outputs, read, reasoning = inputs or 0, outputs or 0, read or 0, reasoning or 0
    cached, total = read + (written or 0), found.tokens("total_tokens")
    if cached and _input_excludes(inputs, outputs, cached, total, excluding=_excludes(span, provider)):
        inputs = min(inputs + cached, _MAX)
    outputs, reasoning = _output(inputs, outputs, reasoning, total, provider)
    return {
        "input_tokens": inputs,
        "output_tokens": min(outputs, _MAX),
        "cached_tokens": read,
        "reasoning_tokens": reasoning,
    }


def _input_excludes(inputs: int, outputs: int, cached: int, total: int | None, *, excluding: bool) -> bool:
    return excluding or inputs < cached or total == inputs + outputs + cached


def _excludes(span: SpanView | None, provider: str) -> bool:
    if span is None:
        return False
    openlit = "openlit" in (span.resource.get("telemetry.sdk.name"), span.attributes.get("telemetry.sdk.name"))
    return span.scope in _EXCLUDING or (openlit and provider in _OPENLIT_EXCLUDING)


def _output(inputs: int, outputs: int, reasoning: int, total: int | None, provider: str) -> tuple[int, int]:
    """Return output and reasoning tokens."""
    if not reasoning and total is None:
        return outputs, 0
    rest = 0 if total is None else total - inputs - outputs
    if reasoning > outputs or (reasoning and rest == reasoning):
        return outputs + reasoning, reasoning
    if not reasoning and rest > 0 and provider.startswith(("gcp", "google", "vertex", "gemini")):
        return outputs + rest, rest
    return outputs, reasoning

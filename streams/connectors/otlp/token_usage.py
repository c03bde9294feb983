"""Normalisation of token counts: input includes cached tokens, output includes reasoning tokens.

Sources count differently, so each source has a rule:

- OpenAI's API includes cached tokens in ``prompt_tokens`` and reasoning tokens in ``completion_tokens``; so do all its
  instrumentations. Nothing is added.
- The GenAI semantic conventions require all input tokens in ``gen_ai.usage.input_tokens``. The count of Anthropic's API
  excludes cached tokens, so instrumentations must add them (docs/gen-ai/anthropic.md, 1.41). The official
  instrumentation, Traceloop's (0.62) and OpenInference's (3.1) add them. Nothing is added here.
- OpenLIT (for Anthropic and Bedrock) and Traceloop's Bedrock instrumentation report the provider's count, which
  excludes cached tokens, with a total that excludes them too: cached tokens are added (`_EXCLUDING`).
- For all other sources the numbers decide. The input excludes cached tokens if the total equals input + output +
  cached (Bedrock's ``totalTokens``; OpenInference's LangChain instrumentation uses the same rule), or if the input is
  below the cached tokens.
- Gemini's ``candidates_token_count`` excludes thoughts, its total includes them. Traceloop's instrumentation reports
  both, so for Google the rest of the total is reasoning. The official instrumentation and OpenInference's add thoughts.
- The output excludes reasoning tokens if they exceed the output, or if the total equals input + output + reasoning.
"""

from __future__ import annotations

from typing import Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.record_views import SpanView

_MAX: Final = 2**31 - 1
_DETAILS: Final = frozenset({"cache_read", "cache_write", "reasoning"})
_COUNTS: Final = _DETAILS | {"input_tokens", "output_tokens"}
_EXCLUDING: Final = frozenset({"opentelemetry.instrumentation.bedrock"})
"""Instrumentation scopes whose input count and total both exclude cached tokens."""
_OPENLIT_EXCLUDING: Final = frozenset({"anthropic", "aws.bedrock"})


def usage(fields: Fields, span: SpanView | None, provider: str) -> dict[str, int] | None:
    """Return the usage of the event, None without token counts."""
    if _COUNTS.isdisjoint(fields.plain):
        return None
    inputs, outputs = fields.tokens("input_tokens"), fields.tokens("output_tokens")
    read = written = reasoning = None
    if not _DETAILS.isdisjoint(fields.plain):
        read, written, reasoning = fields.tokens("cache_read"), fields.tokens("cache_write"), fields.tokens("reasoning")
    if inputs is outputs is read is written is reasoning is None:
        return None
    inputs, outputs, read, reasoning = inputs or 0, outputs or 0, read or 0, reasoning or 0
    cached, total = read + (written or 0), fields.tokens("total_tokens")
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

"""Verdicts of guardrails, read from the attributes of semantic conventions and of libraries.

- ``gen_ai.guardrail.component.name``, ``.result.type``, ``.result.value``, ``.source``, ``.risk.*`` and the operation
  ``apply_guardrail`` (open-telemetry/semantic-conventions-genai, pull request 427, latest version); earlier versions
  had ``gen_ai.guardrail.verdict.type`` and ``.target.type``, ``gen_ai.security.*`` and ``gen_ai.guardian.*``.
- ``gen_ai.guardrail.name``, ``.status`` (PASSED, FAILED), ``.duration`` of Traceloop's SDK 0.62.
- ``gen_ai.guardrail.triggered``, ``.action``, ``.confidence``, ``.violation_type`` (traceloop/openllmetry, issue 3460).
- ``guardrail_name``, ``guardrail_mode``, ``guardrail_status`` of LiteLLM's OpenTelemetry spans.

Values differ by provider, so many synonyms are accepted. An unknown value gives no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streams.connectors.otlp.any_value import number
from streams.connectors.otlp.content import compact, decode_json
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_NAME_CHARS, MAX_SIBLINGS

PREFIXES: Final = ("gen_ai.guardrail.", "gen_ai.security.", "gen_ai.guardian.", "guardrail_")
EVENTS: Final = frozenset({"gen_ai.guardrail.result", "gen_ai.security.finding"})
MAX_VERDICTS: Final = 64
_VERDICTS: Final = {
    **dict.fromkeys(
        ("allow", "allowed", "pass", "passed", "success", "ok", "none", "no_match_found", "not_run"), "pass"
    ),
    **dict.fromkeys(("deny", "denied", "block", "blocked", "reject", "rejected", "guardrail_intervened"), "block"),
    **dict.fromkeys(("intervened", "terminate", "abort"), "block"),
    **dict.fromkeys(("warn", "warning", "flag", "flagged", "alert", "audit", "match_found", "fail", "failed"), "flag"),
    **dict.fromkeys(("modify", "modified", "mask", "masked", "redact", "redacted", "sanitize", "escalate"), "flag"),
    **dict.fromkeys(("error", "failure", "guardrail_failed_to_respond", "timeout"), "error"),
}
_NAMES: Final = (
    "gen_ai.guardrail.component.name", "gen_ai.guardrail.name", "gen_ai.security.guardrail.name",
    "gen_ai.guardian.name", "guardrail_name", "gen_ai.guardrail.policy.id", "gen_ai.security.policy.id",
)  # fmt: skip
_VERDICT_NAMES: Final = (
    "gen_ai.guardrail.verdict.type", "gen_ai.security.verdict.type", "gen_ai.security.decision.type",
    "gen_ai.guardrail.action.type", "gen_ai.guardrail.action", "gen_ai.security.action.type",
    "gen_ai.guardrail.verdict", "gen_ai.guardrail.status", "guardrail_status", "gen_ai.guardrail.result.value",
)  # fmt: skip
_MODES: Final = (
    "gen_ai.guardrail.source", "gen_ai.guardrail.target.type", "gen_ai.security.target.type",
    "gen_ai.guardrail.type", "guardrail_mode",
)  # fmt: skip
_CATEGORIES: Final = (
    "gen_ai.guardrail.risk.category", "gen_ai.guardrail.violation_type", "gen_ai.security.risk.finding",
    "gen_ai.security.risk.category", "gen_ai.guardrail.security.risk.category",
)  # fmt: skip
_SCORES: Final = (
    "gen_ai.guardrail.risk.score", "gen_ai.guardrail.confidence", "gen_ai.security.risk.score",
    "gen_ai.guardrail.security.risk.score",
)  # fmt: skip
_PROVIDERS: Final = ("gen_ai.provider.name", "gen_ai.guardian.provider.name", "gen_ai.security.guardrail.provider.name")
_PRE: Final = ("pre", "input", "user", "prompt", "request", "during")
_POST: Final = ("post", "output", "response", "model_", "answer")


def verdict(
    attributes: Mapping[str, Any], *, failed: bool = False, latency_ms: float | None = None
) -> dict[str, Any] | None:
    """Return the verdict in a span's attributes; None if there is none."""
    result = _verdict(attributes, failed=failed)
    if result is None:
        return None
    name = compact(_first(attributes, _NAMES) or "guardrail")[:MAX_NAME_CHARS]
    out: dict[str, Any] = {"name": name, "verdict": result}
    if (mode := _mode(compact(_first(attributes, _MODES)).lower())) is not None:
        out["mode"] = mode
    score = number(_first(attributes, _SCORES))
    if score is not None and math.isfinite(score):
        out["score"] = score
    if categories := _categories(_first(attributes, _CATEGORIES)):
        out["categories"] = categories
    if latency_ms is not None:
        out["latency_ms"] = latency_ms
    if provider := _first(attributes, _PROVIDERS):
        out["provider"] = compact(provider)
    return out


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if attributes.get(name) not in (None, "")), None)


def _verdict(attributes: Mapping[str, Any], *, failed: bool) -> str | None:
    if failed or attributes.get("gen_ai.guardrail.error.type") or attributes.get("error.type"):
        return "error"
    for name in _VERDICT_NAMES:
        value = attributes.get(name)
        if isinstance(value, str) and (result := _VERDICTS.get(value.lower())):
            return result
    if str(attributes.get("gen_ai.guardrail.result.type", "")).endswith("triggered"):
        return "block" if str(attributes.get("gen_ai.guardrail.result.value")).lower() == "true" else "pass"
    triggered = attributes.get("gen_ai.guardrail.triggered")
    return None if not isinstance(triggered, bool) else "flag" if triggered else "pass"


def _mode(source: str) -> str | None:
    if any(word in source for word in _POST):
        return "post"
    return "pre" if any(word in source for word in _PRE) else None


def _categories(value: Any) -> list[str]:
    value = decode_json(value)
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [compact(item)[:MAX_NAME_CHARS] for item in items[:MAX_VERDICTS] if item]


class GuardrailSpan(NamedTuple):
    """The span of a guardrail."""

    start_ns: int
    end_ns: int
    parent_id: str
    result: dict[str, Any]


@dataclass(slots=True)
class Verdicts:
    """Verdicts of guardrail spans in a request, to be assigned to the calls next to them."""

    by_trace: dict[str, list[GuardrailSpan]] = field(default_factory=dict)
    by_call: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, span: SpanView, latency_ms: float | None) -> bool:
        """Add the verdict of a guardrail span; return False if the span has none."""
        result = verdict(span.attributes, failed=span.failed, latency_ms=latency_ms)
        if result is not None:
            guardrails = self.by_trace.setdefault(span.trace_id, [])
            if len(guardrails) < MAX_SIBLINGS:
                guardrails.append(GuardrailSpan(span.start_ns, span.end_ns, span.parent_id, result))
        return result is not None

    def assign(self, calls: Sequence[SpanView]) -> None:
        """Assign each verdict to a call: the parent, else the previous sibling, else the next sibling."""
        calls_by_trace: dict[str, list[SpanView]] = {}
        for span in calls:
            if span.trace_id in self.by_trace:
                calls_by_trace.setdefault(span.trace_id, []).append(span)
        for trace, spans in calls_by_trace.items():
            for guardrail in self.by_trace[trace]:
                if (found := _call_of(guardrail, spans)) is not None:
                    result = self.by_call.setdefault((trace, found[0].span_id), [])
                    result.append({"mode": found[1], **guardrail.result} if found[1] else guardrail.result)

    def of(self, span: SpanView) -> list[dict[str, Any]]:
        """Return the verdicts on a call."""
        return self.by_call.get((span.trace_id, span.span_id), [])[:MAX_VERDICTS]


def _call_of(guardrail: GuardrailSpan, spans: Sequence[SpanView]) -> tuple[SpanView, str] | None:
    """Return the call of a verdict, and its mode (``pre``, ``post``) if the position of the span determines it."""
    mode = guardrail.result.get("mode")
    before, after = None, None
    for span in spans:
        if span.span_id == guardrail.parent_id:
            return span, ""
        if span.parent_id == guardrail.parent_id:
            if span.end_ns <= guardrail.start_ns and (before is None or span.end_ns > before.end_ns):
                before = span
            if span.start_ns >= guardrail.end_ns and (after is None or span.start_ns < after.start_ns):
                after = span
    if before is not None and mode != "pre":
        return before, "post"
    return (after, "pre") if after is not None and mode != "post" else None


def call_verdicts(attributes: Mapping[str, Any], events: Any, *, guarded: bool) -> list[dict[str, Any]]:
    """Return the verdicts in a call's events and, if ``guarded``, in its attributes."""
    found = [verdict(event.attributes) for event in events if event.name in EVENTS] if events else []
    if guarded:
        filtered = {name: value for name, value in attributes.items() if name != "error.type"}
        found.append(verdict(filtered))
    return [result for result in found if result is not None][:MAX_VERDICTS]

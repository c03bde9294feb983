"""Verdicts of guardrails, from the attributes that are proposed or already in use for them.

- ``gen_ai.guardrail.component.name``, ``.result.type``, ``.result.value``, ``.source``, ``.risk.*`` and the operation
  ``apply_guardrail`` (open-telemetry/semantic-conventions-genai, pull request 427, its latest text); its earlier texts
  had ``gen_ai.guardrail.verdict.type`` and ``.target.type``, ``gen_ai.security.*`` and ``gen_ai.guardian.*``.
- ``gen_ai.guardrail.name``, ``.status`` (PASSED, FAILED), ``.duration`` of Traceloop's SDK 0.62.
- ``gen_ai.guardrail.triggered``, ``.action``, ``.confidence``, ``.violation_type`` (traceloop/openllmetry, issue 3460).
- ``guardrail_name``, ``guardrail_mode``, ``guardrail_status`` of LiteLLM's OpenTelemetry spans.

Values are the providers' own words; they are read liberally. A word that is not known is no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streams.connectors.otlp.any_value import number
from streams.connectors.otlp.content import compact, decoded
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
_SAID: Final = (
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
    given: Mapping[str, Any], *, failed: bool = False, latency_ms: float | None = None
) -> dict[str, Any] | None:
    """Return the verdict that attributes tell; None where they tell none."""
    said = _verdict(given, failed=failed)
    if said is None:
        return None
    out: dict[str, Any] = {"name": compact(_first(given, _NAMES) or "guardrail")[:MAX_NAME_CHARS], "verdict": said}
    if (mode := _mode(compact(_first(given, _MODES)).lower())) is not None:
        out["mode"] = mode
    score = number(_first(given, _SCORES))
    if score is not None and math.isfinite(score):
        out["score"] = score
    if categories := _categories(_first(given, _CATEGORIES)):
        out["categories"] = categories
    if latency_ms is not None:
        out["latency_ms"] = latency_ms
    if provider := _first(given, _PROVIDERS):
        out["provider"] = compact(provider)
    return out


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((given[name] for name in names if given.get(name) not in (None, "")), None)


def _verdict(given: Mapping[str, Any], *, failed: bool) -> str | None:
    if failed or given.get("gen_ai.guardrail.error.type") or given.get("error.type"):
        return "error"
    for name in _SAID:
        value = given.get(name)
        if isinstance(value, str) and (said := _VERDICTS.get(value.lower())):
            return said
    if str(given.get("gen_ai.guardrail.result.type", "")).endswith("triggered"):
        return "block" if str(given.get("gen_ai.guardrail.result.value")).lower() == "true" else "pass"
    triggered = given.get("gen_ai.guardrail.triggered")
    return None if not isinstance(triggered, bool) else "flag" if triggered else "pass"


def _mode(source: str) -> str | None:
    if any(word in source for word in _POST):
        return "post"
    return "pre" if any(word in source for word in _PRE) else None


def _categories(found: Any) -> list[str]:
    found = decoded(found)
    items = found if isinstance(found, list) else [] if found is None else [found]
    return [compact(item)[:MAX_NAME_CHARS] for item in items[:MAX_VERDICTS] if item]


class Given(NamedTuple):
    """A guardrail's own span."""

    start_ns: int
    end_ns: int
    parent_id: str
    said: dict[str, Any]


@dataclass(slots=True)
class Verdicts:
    """Verdicts of guardrails' own spans in this request, for the calls they stand beside."""

    by_trace: dict[str, list[Given]] = field(default_factory=dict)
    by_call: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, span: SpanView, latency_ms: float | None) -> bool:
        """Keep a guardrail's verdict; False if its span tells none."""
        said = verdict(span.attributes, failed=span.failed, latency_ms=latency_ms)
        if said is not None:
            kept = self.by_trace.setdefault(span.trace_id, [])
            if len(kept) < MAX_SIBLINGS:
                kept.append(Given(span.start_ns, span.end_ns, span.parent_id, said))
        return said is not None

    def assign(self, calls: Sequence[SpanView]) -> None:
        """Find each verdict's call: its parent, else the sibling right before it or, without one, right after."""
        beside: dict[str, list[SpanView]] = {}
        for span in calls:
            if span.trace_id in self.by_trace:
                beside.setdefault(span.trace_id, []).append(span)
        for trace, spans in beside.items():
            for given in self.by_trace[trace]:
                if (found := _call_of(given, spans)) is not None:
                    said = self.by_call.setdefault((trace, found[0].span_id), [])
                    said.append({"mode": found[1], **given.said} if found[1] else given.said)

    def of(self, span: SpanView) -> list[dict[str, Any]]:
        """Return the verdicts on a call."""
        return self.by_call.get((span.trace_id, span.span_id), [])[:MAX_VERDICTS]


def _call_of(given: Given, spans: Sequence[SpanView]) -> tuple[SpanView, str] | None:
    """Return the call that a verdict is on, and whether it looked at the prompt or the answer, where that is plain."""
    mode = given.said.get("mode")
    before, after = None, None
    for span in spans:
        if span.span_id == given.parent_id:
            return span, ""
        if span.parent_id == given.parent_id:
            if span.end_ns <= given.start_ns and (before is None or span.end_ns > before.end_ns):
                before = span
            if span.start_ns >= given.end_ns and (after is None or span.start_ns < after.start_ns):
                after = span
    if before is not None and mode != "pre":
        return before, "post"
    return (after, "pre") if after is not None and mode != "post" else None


def of_call(attributes: Mapping[str, Any], happenings: Any, *, guarded: bool) -> list[dict[str, Any]]:
    """Return the verdicts that a call's own attributes (where ``guarded`` says that some do) and events tell."""
    found = [verdict(event.attributes) for event in happenings if event.name in EVENTS] if happenings else []
    if guarded:
        own = {name: value for name, value in attributes.items() if name != "error.type"}
        found.append(verdict(own))
    return [said for said in found if said is not None][:MAX_VERDICTS]

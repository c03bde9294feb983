"""What LiteLLM's guardrails said of a call, as verdicts of an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streamgauge.integrations._reading import Json, get, rows, text

VERDICTS = {
    "success": "pass",
    "guardrail_flagged": "flag",
    "guardrail_intervened": "block",
    "guardrail_failed_to_respond": "error",
}
MODES = {"pre_call": "pre", "during_call": "pre", "pre_mcp_call": "pre", "post_call": "post", "post_mcp_call": "post"}
MAX_VERDICTS = 64
MAX_CATEGORIES = 64


def verdicts(information: Any) -> list[Json]:
    """Return the verdicts of those guardrails that ran; older versions tell of one, without a list."""
    told = [information] if isinstance(information, Mapping) else rows(information)
    ran = [one for one in told if get(one, "guardrail_status") in VERDICTS]
    return [_verdict(one) for one in ran[:MAX_VERDICTS]]


def _verdict(told: Mapping[str, Any]) -> Json:
    verdict: Json = {
        "name": text(told.get("guardrail_name"))[:256] or "guardrail",
        "verdict": _judged(told),
        "mode": _mode(told.get("guardrail_mode")),
        "provider": text(told.get("guardrail_provider")),
        "categories": list(_categories(told))[:MAX_CATEGORIES],
    }
    if (score := _score(told)) is not None:
        verdict["score"] = score
    if isinstance(took := told.get("duration"), (int, float)) and took >= 0:
        verdict["latency_ms"] = took * 1e3
    return verdict


def _judged(told: Mapping[str, Any]) -> str:
    # Text that was masked went on, changed: LiteLLM counts that as success, or as an intervention.
    if told["guardrail_status"] in ("success", "guardrail_intervened") and _masked(told):
        return "flag"
    return VERDICTS[told["guardrail_status"]]


def _masked(told: Mapping[str, Any]) -> bool:
    return bool(list(_entities(told))) or told.get("guardrail_response") == "mask"


def _entities(told: Mapping[str, Any]) -> Iterable[str]:
    counted = told.get("masked_entity_count") or {}
    return (str(name) for name, count in counted.items() if count)


def _mode(mode: Any) -> str | None:
    """Return what was looked at; a guardrail that looks at both does not say which it was."""
    named = {MODES.get(getattr(one, "value", one)) for one in (rows(mode) or [mode]) if isinstance(one, str)}
    return named.pop() if len(named) == 1 else None


def _categories(told: Mapping[str, Any]) -> Iterable[str]:
    found = [str(name) for name in rows(told.get("violation_categories"))] or list(_entities(told))
    if not found:
        matches = rows(told.get("match_details"))
        found = [text(get(match, "category")) or text(get(match, "type")) for match in matches]
    return dict.fromkeys(name for name in found if name)


def _score(told: Mapping[str, Any]) -> float | None:
    """Return how sure the guardrail is, from 0 to 1; LiteLLM's risk goes to 10."""
    sure, risk = told.get("confidence_score"), told.get("risk_score")
    if isinstance(sure, (int, float)):
        return float(sure)
    return risk / 10 if isinstance(risk, (int, float)) else None

"""Reader of the verdicts of LiteLLM's guardrails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streamgauge.integrations._accessors import Json, get, rows, text

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
    """Convert the verdicts of the guardrails that ran; older versions of LiteLLM report one verdict, not a list."""
    reports = [information] if isinstance(information, Mapping) else rows(information)
    ran = [report for report in reports if get(report, "guardrail_status") in VERDICTS]
    return [_verdict(report) for report in ran[:MAX_VERDICTS]]


def _verdict(report: Mapping[str, Any]) -> Json:
    verdict: Json = {
        "name": text(report.get("guardrail_name"))[:256] or "guardrail",
        "verdict": _verdict_name(report),
        "mode": _mode(report.get("guardrail_mode")),
        "provider": text(report.get("guardrail_provider")),
        "categories": list(_categories(report))[:MAX_CATEGORIES],
    }
    if (score := _score(report)) is not None:
        verdict["score"] = score
    if isinstance(duration_s := report.get("duration"), (int, float)) and duration_s >= 0:
        verdict["latency_ms"] = duration_s * 1e3
    return verdict


def _verdict_name(report: Mapping[str, Any]) -> str:
    # LiteLLM reports masked text that was passed on as success or as an intervention.
    if report["guardrail_status"] in ("success", "guardrail_intervened") and _masked(report):
        return "flag"
    return VERDICTS[report["guardrail_status"]]


def _masked(report: Mapping[str, Any]) -> bool:
    return bool(list(_entities(report))) or report.get("guardrail_response") == "mask"


def _entities(report: Mapping[str, Any]) -> Iterable[str]:
    counted = report.get("masked_entity_count") or {}
    return (str(name) for name, count in counted.items() if count)


def _mode(mode: Any) -> str | None:
    """Return the checked side; ``None`` for a guardrail that checks both, which does not report the side."""
    named = {MODES.get(getattr(item, "value", item)) for item in (rows(mode) or [mode]) if isinstance(item, str)}
    return named.pop() if len(named) == 1 else None


def _categories(report: Mapping[str, Any]) -> Iterable[str]:
    categories = [str(name) for name in rows(report.get("violation_categories"))] or list(_entities(report))
    if not categories:
        matches = rows(report.get("match_details"))
        categories = [text(get(match, "category")) or text(get(match, "type")) for match in matches]
    return dict.fromkeys(name for name in categories if name)


def _score(report: Mapping[str, Any]) -> float | None:
    """Return the confidence or risk from 0 to 1; LiteLLM's risk score goes up to 10."""
    confidence, risk = report.get("confidence_score"), report.get("risk_score")
    if isinstance(confidence, (int, float)):
        return float(confidence)
    return risk / 10 if isinstance(risk, (int, float)) else None

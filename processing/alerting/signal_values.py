"""Metrics of one event that alert rules can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from agents.base import Chunk
from schemas.errors import SettingsError
from schemas.event import LLMEvent

Column: TypeAlias = "list[float | None]"


def _per_event(value: Callable[[LLMEvent], float | None]) -> Callable[[Chunk], Column]:
    return lambda chunk: [value(event) for event in chunk.events]


_EVENT_METRICS: dict[str, Callable[[Chunk], Column]] = {
    "error": _per_event(lambda e: float(e.error is not None)),
    "refusal": lambda chunk: [None if refusal is None else float(refusal) for refusal in chunk.refusals],
    "latency_ms": _per_event(lambda e: e.latency_ms),
    "ttft_ms": _per_event(lambda e: e.ttft_ms),
    "cost_usd": _per_event(lambda e: e.cost_usd),
    "input_tokens": _per_event(lambda e: e.usage.input_tokens if e.usage else None),
    "output_tokens": _per_event(lambda e: e.usage.output_tokens if e.usage else None),
}
_SIGNAL_METRICS = {
    "injection": ("score", "flag"),
    "hallucination": ("score", "flag", "grounding"),
    "drift": ("distance",),
    "guardrail": ("flag",),
    "campaign": ("flag", "members", "users"),
}


def column(metric: str, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> Column:
    """Return a metric of each event of a chunk; None for an event without this metric."""
    if metric in _EVENT_METRICS:
        return _EVENT_METRICS[metric](chunk)
    agent, _, name = metric.partition(".")
    if agent not in signals:
        return [None] * len(chunk)
    return [None if signal is None else getattr(signal, name) for signal in signals[agent]]


def check_metric(rule: str, metric: str) -> None:
    """Raise `SettingsError` for an unknown metric."""
    agent, _, name = metric.partition(".")
    if metric not in _EVENT_METRICS and name not in _SIGNAL_METRICS.get(agent, ()):
        known = sorted(_EVENT_METRICS) + [f"{a}.{n}" for a, names in _SIGNAL_METRICS.items() for n in names]
        near = get_close_matches(metric, known, n=1)
        raise SettingsError(
            f"rule {rule}: unknown metric {metric!r}; choose one of {', '.join(known)}",
            "metric",
            "unknown",
            suggestion=near[0] if near else "",
        )

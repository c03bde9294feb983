"""What a rule can look at in one event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from agents.base import Chunk
from schemas.errors import SettingsError
from schemas.event import LLMEvent

Column: TypeAlias = "list[float | None]"


def _each(of: Callable[[LLMEvent], float | None]) -> Callable[[Chunk], Column]:
    return lambda chunk: [of(event) for event in chunk.events]


_OF_EVENT: dict[str, Callable[[Chunk], Column]] = {
    "error": _each(lambda e: float(e.error is not None)),
    "refusal": lambda chunk: [None if said is None else float(said) for said in chunk.refusals],
    "latency_ms": _each(lambda e: e.latency_ms),
    "ttft_ms": _each(lambda e: e.ttft_ms),
    "cost_usd": _each(lambda e: e.cost_usd),
    "input_tokens": _each(lambda e: e.usage.input_tokens if e.usage else None),
    "output_tokens": _each(lambda e: e.usage.output_tokens if e.usage else None),
}
_OF_SIGNAL = {
    "injection": ("score", "flag"),
    "hallucination": ("score", "flag", "grounding"),
    "drift": ("distance",),
    "guardrail": ("flag",),
    "campaign": ("flag", "members", "users"),
}


def column(metric: str, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> Column:
    """Return a metric of every event of a chunk, None where it has none."""
    if metric in _OF_EVENT:
        return _OF_EVENT[metric](chunk)
    agent, _, name = metric.partition(".")
    if agent not in signals:
        return [None] * len(chunk)
    return [None if said is None else getattr(said, name) for said in signals[agent]]


def check_metric(rule: str, metric: str) -> None:
    """Raise `SettingsError` for a metric that no event has."""
    agent, _, name = metric.partition(".")
    if metric not in _OF_EVENT and name not in _OF_SIGNAL.get(agent, ()):
        known = sorted(_OF_EVENT) + [f"{a}.{n}" for a, names in _OF_SIGNAL.items() for n in names]
        near = get_close_matches(metric, known, n=1)
        raise SettingsError(
            f"rule {rule}: metric {metric!r}; choose one of {', '.join(known)}",
            "metric",
            "unknown",
            suggestion=near[0] if near else "",
        )

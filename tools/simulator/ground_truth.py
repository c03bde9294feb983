"""What is true of the simulated traffic, to hold the monitor's answers against."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools.simulator.incidents import Incident


@dataclass(slots=True)
class AppTruth:
    """Totals of one app, over whole calls."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    times_ms: list[int] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def add(self, call: dict[str, Any], at_ms: int) -> None:
        """Count a call; calls come in the order of their begin."""
        usage = call.get("usage") or {}
        self.calls += 1
        self.errors += "error" in call
        self.input_tokens += usage.get("input_tokens", 0)
        self.output_tokens += usage.get("output_tokens", 0)
        self.cost_nanousd += round(call.get("cost_usd", 0.0) * 1e9)
        self.times_ms.append(at_ms)
        self.ids.add(call["event_id"])

    def between(self, begin_ms: int, end_ms: int) -> int:
        """Return how many calls began in a closed interval of event time."""
        return bisect_right(self.times_ms, end_ms) - bisect_left(self.times_ms, begin_ms)


@dataclass(slots=True)
class Truth:
    """Totals of the whole run and its incidents.

    Attributes
    ----------
    apps
        By app.
    kinds
        Records by kind: ``call``, ``request``, ``response``, ``feedback``, ``malformed``.
    incidents
        In order of begin.
    """

    apps: dict[str, AppTruth] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    incidents: tuple[Incident, ...] = ()

    @property
    def calls(self) -> int:
        """Whole calls, halves joined."""
        return sum(app.calls for app in self.apps.values())

    @property
    def ids(self) -> set[str]:
        """Event ids of all calls."""
        return set().union(*(app.ids for app in self.apps.values()))

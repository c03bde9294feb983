"""Ground truth of the simulated traffic, to compare the monitor's results with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tools.simulator.incidents import Incident


@dataclass(slots=True)
class AppTotals:
    """Totals of one app over its complete calls."""

    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    times_ms: list[int] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def add(self, call: dict[str, Any], at_ms: int) -> None:
        """Add a call; calls must be added in order of start time."""
        usage = call.get("usage") or {}
        self.calls += 1
        self.errors += "error" in call
        self.input_tokens += usage.get("input_tokens", 0)
        self.output_tokens += usage.get("output_tokens", 0)
        self.cost_nanousd += round(call.get("cost_usd", 0.0) * 1e9)
        self.times_ms.append(at_ms)
        self.ids.add(call["event_id"])

    def between(self, start_ms: int, end_ms: int) -> int:
        """Return the number of calls that started in a closed interval of event time."""
        return bisect_right(self.times_ms, end_ms) - bisect_left(self.times_ms, start_ms)


@dataclass(slots=True)
class GroundTruth:
    """Totals of the whole run and its incidents.

    Attributes
    ----------
    apps
        Totals by app.
    kinds
        Number of records by kind: ``call``, ``request``, ``response``, ``feedback``, ``malformed``.
    incidents
        Incidents in order of start.
    """

    apps: dict[str, AppTotals] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    incidents: tuple[Incident, ...] = ()

    @property
    def calls(self) -> int:
        """Number of calls, with requests and responses joined."""
        return sum(app.calls for app in self.apps.values())

    @property
    def ids(self) -> set[str]:
        """Event ids of all calls."""
        return set().union(*(app.ids for app in self.apps.values()))

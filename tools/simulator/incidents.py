"""Incidents of the simulated hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tools.simulator.apps import ADVISOR, SOC, TRIAGE, App

Kind: TypeAlias = Literal["injection", "hallucination", "regression", "topic"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Planned incident.

    Attributes
    ----------
    start, end
        Times as fractions of the hour.
    share
        Fraction of the app's calls that the incident affects while it lasts.
    """

    kind: Kind
    title: str
    app: App
    start: float
    end: float
    share: float

    def covers(self, at: float) -> bool:
        """Return True if the incident is active at this fraction of the hour."""
        return self.start <= at < self.end


SCENARIOS = (
    Scenario("injection", "prompt-injection campaign", SOC, 0.26, 0.38, 0.25),
    Scenario("hallucination", "hallucination burst", TRIAGE, 0.38, 0.50, 0.3),
    Scenario("regression", "prompt v2: slower, more expensive", ADVISOR, 0.54, 1.0, 1.0),
    Scenario("topic", "topic drift: off-topic questions", TRIAGE, 0.76, 1.0, 0.4),
)
"""Scenarios in order of start; each starts after its app has had at least 15 minutes of normal traffic."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Incident as it occurred.

    Attributes
    ----------
    start_ms, end_ms
        Event times of the first and the last affected call.
    start_index
        Number of calls of the app before the incident.
    affected
        Event ids of the affected calls.
    """

    kind: Kind
    title: str
    tenant: str
    app: str
    start_ms: int
    end_ms: int
    start_index: int
    affected: frozenset[str]

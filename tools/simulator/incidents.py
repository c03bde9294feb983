"""What goes wrong in the simulated hour, where and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tools.simulator.apps import ADVISOR, SOC, TRIAGE, App

Kind: TypeAlias = Literal["injection", "hallucination", "regression", "topic"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """An incident as it is planned.

    Attributes
    ----------
    begin, end
        As shares of the hour.
    share
        Share of the app's calls that it touches while it lasts.
    """

    kind: Kind
    title: str
    app: App
    begin: float
    end: float
    share: float

    def covers(self, at: float) -> bool:
        """Whether it is on at this share of the hour."""
        return self.begin <= at < self.end


SCENARIOS = (
    Scenario("injection", "prompt-injection campaign", SOC, 0.26, 0.38, 0.25),
    Scenario("hallucination", "hallucination burst", TRIAGE, 0.38, 0.50, 0.3),
    Scenario("regression", "prompt v2: slower, dearer", ADVISOR, 0.54, 1.0, 1.0),
    Scenario("topic", "topic drift: off-topic questions", TRIAGE, 0.76, 1.0, 0.4),
)
"""They begin one after the other, each after its app has had at least 15 minutes of quiet."""


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as it happened.

    Attributes
    ----------
    begin_ms, end_ms
        Event times of the first and the last call it touched.
    begin_index
        How many calls of the app came before.
    affected
        Event ids of the calls it touched.
    """

    kind: Kind
    title: str
    tenant: str
    app: str
    begin_ms: int
    end_ms: int
    begin_index: int
    affected: frozenset[str]

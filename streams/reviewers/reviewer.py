"""The reviewer protocol: review one signal of one event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.event import LLMEvent
from streams.reviewers.selection import Selection


@dataclass(frozen=True, slots=True)
class Review:
    """Result of a review.

    Attributes
    ----------
    outcome
        Outcome; see the metric ``streamgauge_reviewers_outcomes_total``.
    label
        Verdict: True if the event has the signal; None if there is no verdict.
    score
        Probability; None if the reviewer reports none.
    """

    outcome: str
    label: bool | None = None
    score: float | None = None


class Reviewer(Protocol):
    """A model that reviews selected events."""

    @property
    def name(self) -> str:
        """Return the name of the reviewer; part of its consumer group and of all verdict ids."""

    @property
    def model(self) -> str:
        """Return the name of the model; part of all verdict ids."""

    @property
    def selection(self) -> Selection:
        """Return the selection of events to review."""

    @property
    def budget_per_hour(self) -> int:
        """Return the maximum number of reviews per hour of event time."""

    @property
    def concurrency(self) -> int:
        """Return the maximum number of concurrent reviews."""

    @property
    def emits_labels(self) -> bool:
        """Return True if verdicts are also published as labels."""

    async def review(self, event: LLMEvent, signal: str) -> Review:
        """Review one signal of an event; expected failures are outcomes, not exceptions."""

    async def close(self) -> None:
        """Release all resources."""

"""What a reviewer is: asked about one event and one signal, it says something or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from schemas.event import LLMEvent
from streams.reviewers.selection import Selection


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a reviewer said.

    Attributes
    ----------
    outcome
        See the metric ``streamgauge_reviewers_outcomes_total``.
    label
        Whether the signal holds; None where there is no verdict.
    score
        Probability, where the reviewer gives one.
    """

    outcome: str
    label: bool | None = None
    score: float | None = None


class Reviewer(Protocol):
    """A second opinion."""

    @property
    def name(self) -> str:
        """Say which reviewer it is; part of its group and of all ids."""

    @property
    def model(self) -> str:
        """Say which model it asks; part of all ids."""

    @property
    def selection(self) -> Selection:
        """Say what it is asked about."""

    @property
    def budget_per_hour(self) -> int:
        """Say how many questions it takes an hour."""

    @property
    def concurrency(self) -> int:
        """Say how many questions it takes at once."""

    @property
    def teaches(self) -> bool:
        """Say whether its verdicts are labels too."""

    async def ask(self, event: LLMEvent, signal: str) -> Opinion:
        """Ask; what can go wrong on the way is an outcome and no exception."""

    async def close(self) -> None:
        """Let go of what it holds."""

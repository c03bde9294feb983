"""Settings of the drift agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """How a segment's stream is compared with its reference.

    Attributes
    ----------
    events_per_false_alarm
        Events of one segment without a change between two false alarms, over all its features together.
    reference_events
        Events from which a segment's reference is learned, at first and again after each change.
    smoothing
        Weight of one event in the slow moving average of embeddings: smaller sees smaller changes, later.
    quick
        The same of the quick one, which sees whole changes sooner.
    effect
        The shift of a scalar, in standard deviations, that is found soonest.
    odds_ratio
        The same for shares (refusals, errors, the usual model): odds multiplied or divided by this.
    max_segments
        Segments kept; the least recently seen is forgotten, and counted, when there are more.
    min_users
        Users, or conversations where no user is given, who must have written a word before it is named.
    text_bytes
        What is read of an event's text; the rest is passed over.
    """

    events_per_false_alarm: int = 10_000
    reference_events: int = 300
    smoothing: float = 0.03
    quick: float = 0.1
    effect: float = 0.5
    odds_ratio: float = 3.0
    max_segments: int = 10_000
    min_users: int = 5
    text_bytes: int = 1024

    def __post_init__(self) -> None:
        if self.events_per_false_alarm < 100:
            raise ValueError(f"events_per_false_alarm: {self.events_per_false_alarm}; give at least 100")
        if self.reference_events < 50:
            raise ValueError(f"reference_events: {self.reference_events}; give at least 50")
        if not 0.0 < self.smoothing <= 1.0:
            raise ValueError(f"smoothing: {self.smoothing}; give a weight in (0, 1]")
        if not 0.0 < self.quick <= 1.0:
            raise ValueError(f"quick: {self.quick}; give a weight in (0, 1]")
        if not 2 <= self.min_users <= 12:
            raise ValueError(f"min_users: {self.min_users}; give 2 to 12")
        if self.max_segments < 1:
            raise ValueError(f"max_segments: {self.max_segments}; give at least 1")

"""Settings of the drift agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """Settings of `DriftAgent`.

    Attributes
    ----------
    events_per_false_alarm
        Average number of events of one app between two false alarms, over all features of the app.
    reference_events
        Events from which the reference of an app is learned, initially and again after each change.
    smoothing
        Weight of one event in the slow moving average of embeddings. A smaller weight detects smaller changes later.
    quick
        Weight of one event in the fast moving average of embeddings, which detects large changes sooner.
    effect
        Shift of a scalar, in standard deviations, that is detected soonest.
    odds_ratio
        Change of a share (refusals, errors, the most frequent model) that is detected soonest: the factor by which its
        odds rise or fall.
    max_segments
        Maximum number of apps. The least recently seen app is evicted, and counted, to admit another one.
    min_users
        Users (conversations without a user id) who must have written a word before an alert names it.
    text_bytes
        Bytes of an event's text that are read.
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
            raise ValueError(f"events_per_false_alarm is {self.events_per_false_alarm}; set at least 100")
        if self.reference_events < 50:
            raise ValueError(f"reference_events is {self.reference_events}; set at least 50")
        if not 0.0 < self.smoothing <= 1.0:
            raise ValueError(f"smoothing is {self.smoothing}; set a weight above 0 and at most 1")
        if not 0.0 < self.quick <= 1.0:
            raise ValueError(f"quick is {self.quick}; set a weight above 0 and at most 1")
        if not 2 <= self.min_users <= 12:
            raise ValueError(f"min_users is {self.min_users}; set 2 to 12")
        if self.max_segments < 1:
            raise ValueError(f"max_segments is {self.max_segments}; set at least 1")

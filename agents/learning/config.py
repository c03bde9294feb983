"""What learning from labels may do, and how much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """Settings of a `Learner`.

    Attributes
    ----------
    annotator, judge, thumbs, user
        Weight of a label by who gave it, 0 to 1; 0: such labels are counted and not learned.
    strength
        Most that one label may move the odds of its own event, about, in log odds.
    shared, own
        Share of that which all tenants see, and which only the label's tenant sees.
    limit
        Most that the weight of one feature may move, in log odds.
    noise
        Share of labels taken to be false: one that the shipped weights and the other labels contradict counts less.
    labels_at_once
        Labels of one tenant that count in full for the others; the n-th after them counts ``labels_at_once / n``.
    labels_a_day
        Labels of one labeller in a day of event time that count in full; the n-th after them counts
        ``sqrt(labels_a_day / n)``.
    unverified_labels_a_day
        Labels of sources that nobody vouches for (thumbs, user) that count, per scope and day of event time, whoever
        gives them; 0: none.
    unverified_limit
        Most that all of those move the score of a text, up or down, in log odds.
    events
        Latest scored events that can still be labelled; half as many flagged ones and half as many for which a label
        was asked are kept beside them.
    labelled
        Labels that are kept, weighed again as others come, and that can be taken back.
    revisits
        Kept labels that are looked at again for each new one.
    tenants
        Tenants with moves of their own; the one whose last label is oldest is forgotten.
    labellers
        Labellers whose record is kept.
    versions
        Versions of the weights that are kept.
    labels_per_version
        Labels between two versions.
    requests_per_hour
        Labels asked for, by tenant and app, per hour of event time; 0: none.
    segments
        Tenants and apps whose quality and rate of requests are kept.
    fading
        What an older label counts after each newer one of its segment, in the live quality.
    quality_labels
        Labels of a segment from which its quality is told as a change, so that a rule can look at it.
    """

    annotator: float = 1.0
    judge: float = 0.7
    thumbs: float = 0.5
    user: float = 0.5
    strength: float = 6.0
    shared: float = 0.3
    own: float = 0.7
    limit: float = 6.0
    noise: float = 0.1
    labels_at_once: int = 50
    labels_a_day: int = 100
    unverified_labels_a_day: int = 200
    unverified_limit: float = 0.5
    events: int = 2048
    labelled: int = 1024
    revisits: int = 32
    tenants: int = 32
    labellers: int = 4096
    versions: int = 8
    labels_per_version: int = 50
    requests_per_hour: float = 20.0
    segments: int = 1024
    fading: float = 0.995
    quality_labels: int = 30

    def weight(self, source: str) -> float:
        """Weight of a label by its source."""
        return {"annotator": self.annotator, "judge": self.judge, "thumbs": self.thumbs, "user": self.user}[source]

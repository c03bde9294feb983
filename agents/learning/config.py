"""Settings of learning from labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """Settings of a `Learner`.

    Attributes
    ----------
    annotator, judge, thumbs, user
        Weight of a label by its source, 0 to 1. Labels of a source with weight 0 are counted but not learned.
    strength
        Approximate maximum by which one label moves the score of its own event, in log odds.
    shared_weight, tenant_weight
        Fraction of a label that changes the weights of all tenants, and fraction that changes the weights of its own
        tenant only.
    limit
        Maximum by which labels move the weight of one feature, in log odds.
    noise
        Assumed share of false labels. A label that the shipped weights and other labels contradict counts less.
    full_weight_labels
        Number of labels of one tenant that count in full for other tenants. Of the later ones, the n-th label counts
        ``full_weight_labels / n``.
    labels_a_day
        Number of labels of one annotator per day of event time that count in full. Of the later ones, the n-th label
        counts ``sqrt(labels_a_day / n)``.
    unverified_labels_a_day
        Maximum number of labels from unverified sources (thumbs, user) that count per scope and day of event time, over
        all annotators; 0: none.
    unverified_limit
        Maximum by which all labels from unverified sources move the score of a text, in log odds.
    label_window_events
        Number of recent events that can still be labelled. Half as many flagged events, and half as many events whose
        label was requested, are kept in addition.
    labels_kept
        Number of learned labels that are kept, so that they can be reweighted and retracted.
    revisits
        Number of kept labels that are reweighted for each new label.
    tenants
        Maximum number of tenants with weights of their own; the tenant with the oldest last label is evicted.
    annotators
        Maximum number of annotators whose reliability is tracked.
    versions
        Number of versions of the weights that are kept.
    labels_per_version
        Number of learned labels from one version of the weights to the next.
    requests_per_hour
        Number of label requests per scope and hour of event time; 0: none.
    scopes
        Maximum number of scopes whose live quality and request rate are kept.
    decay
        Factor by which each new label of a scope reduces the weight of the older labels in the live quality.
    quality_labels
        Number of labels of a scope from which its live quality is reported as a change point, so that rules can use it.
    """

    annotator: float = 1.0
    judge: float = 0.7
    thumbs: float = 0.5
    user: float = 0.5
    strength: float = 6.0
    shared_weight: float = 0.3
    tenant_weight: float = 0.7
    limit: float = 6.0
    noise: float = 0.1
    full_weight_labels: int = 50
    labels_a_day: int = 100
    unverified_labels_a_day: int = 200
    unverified_limit: float = 0.5
    label_window_events: int = 2048
    labels_kept: int = 1024
    revisits: int = 32
    tenants: int = 32
    annotators: int = 4096
    versions: int = 8
    labels_per_version: int = 50
    requests_per_hour: float = 20.0
    scopes: int = 1024
    decay: float = 0.995
    quality_labels: int = 30

    def source_weight(self, source: str) -> float:
        """Return the weight of labels of a source."""
        return {"annotator": self.annotator, "judge": self.judge, "thumbs": self.thumbs, "user": self.user}[source]

"""Reliability of annotators: how far their labels are trusted, given their number and what they contradict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np

from agents.common.state_validation import expect_array, expect_at_most, expect_texts
from agents.common.tenant_map import TenantLru
from agents.learning.config import LearningConfig
from schemas.feedback import Feedback

Annotator = tuple[str, str]
"""Tenant and name, as returned by `annotator_of`."""

DAY_MS = 86_400_000
_PRIOR_ODDS = {"annotator": 4.0, "judge": 3.0, "thumbs": 2.0, "user": 2.0}
"""Prior log odds that an annotator is honest, by source."""
_EVIDENCE_MAX, _MODEL_PRAISE_MAX = 6.0, 1.0
"""Maximum log odds of any evidence, and of agreement with the model, which is weak evidence of honesty."""
_UNTRUSTED_BELOW = -1.0
"""Log odds below which no label of an annotator counts."""
_MODEL_CERTAINTY, _PEER_CERTAINTY = 0.7, 0.9
"""Maximum probability that the model, or another annotator, is right."""
_RANK_CREDIT, _RANK_SIGMAS, _RANK_LABELS_MIN = 2.5, 3.0, 8
"""Rank evidence: log odds that it offsets (enough for annotators and judges who contradict the model all the time, not
enough for users), standard errors by which true labels must outscore false ones, and labels needed of each kind."""


@dataclass(slots=True)
class _Record:
    """Evidence on one annotator.

    Attributes
    ----------
    model_true, model_false
        Log odds of honesty from events that the model finds true, and false.
    peers_true, peers_false
        The same from events that other annotators find true, and false.
    labels, day_ms
        Labels in the current day, and its start.
    prior
        Log odds of honesty before any evidence.
    false_n, false_mean, false_spread
        Number, mean and summed squared deviations of the model's log odds of events labelled False.
    true_n, true_mean, true_spread
        The same of events labelled True.
    """

    model_true: float = 0.0
    model_false: float = 0.0
    peers_true: float = 0.0
    peers_false: float = 0.0
    labels: float = 0.0
    day_ms: float = 0.0
    prior: float = 0.0
    false_n: float = 0.0
    false_mean: float = 0.0
    false_spread: float = 0.0
    true_n: float = 0.0
    true_mean: float = 0.0
    true_spread: float = 0.0


_NUMBERS = len(fields(_Record))
_numbers_of = attrgetter(*(f.name for f in fields(_Record)))


class AnnotatorReliability:
    """Log odds that each annotator is honest rather than answering the opposite, in bounded memory.

    Each label is compared with the score of the shipped weights and with the labels of other annotators on the same
    event. The learned weights are not used, because a liar may have shaped them. Evidence from events found true and
    from events found false is kept separately, and the worse of the two counts: an annotator who answers "false" to
    everything is right most of the time.

    An honest annotator agrees more often than not, even where the model is poor. An annotator who contradicts loses
    trust with every label. Below a limit, none of the annotator's labels counts, including earlier ones. Agreement of
    other annotators restores trust.

    Where most events are attacks that the model misses, an honest annotator contradicts the model all the time, but the
    events that the annotator labels true still score higher than those labelled false. This rank evidence offsets
    contradiction of the model, and nothing else.

    Parameters
    ----------
    config
        See `LearningConfig`.

    References
    ----------
    Dawid, A. P., Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates using the EM algorithm.
    Applied Statistics 28, 20-28. (Here one step at a time, with the model as one of the observers.)
    Welch, B. L. (1947). The generalization of Student's problem when several different population variances are
    involved. Biometrika 34, 28-35.
    """

    def __init__(self, config: LearningConfig) -> None:
        self._config = config
        self._records = TenantLru[Annotator, _Record](config.annotators)

    def label_weight(self, annotator: Annotator, source: str, now_ms: int) -> float:
        """Count a label of an annotator; return the weight of the label, 0 to 1."""
        config = self._config
        record = self._records.get(annotator[0], annotator)
        if record is None:
            record = _Record(day_ms=float(now_ms), prior=_PRIOR_ODDS[source])
            self._records.put(annotator[0], annotator, record)
        if now_ms - record.day_ms >= DAY_MS:
            record.labels, record.day_ms = 0.0, float(now_ms)
        record.labels += 1.0
        volume = min(1.0, math.sqrt(config.labels_a_day / record.labels)) if is_person(annotator) else 1.0
        return config.source_weight(source) * volume * self.trust(annotator)

    def trust(self, annotator: Annotator) -> float:
        """Return the trust in an annotator: 0 (no label counts) to 1."""
        record = self._records.peek(annotator[0], annotator)
        if record is None:
            return 0.5
        model_false = record.model_false
        if model_false < 0.0 and _ranks_like_the_model(record):
            model_false = min(0.0, model_false + _RANK_CREDIT)
        evidence = _worse(record.model_true, model_false) + _worse(record.peers_true, record.peers_false)
        odds = record.prior + evidence
        return 0.0 if odds < _UNTRUSTED_BELOW else 1.0 / (1.0 + math.exp(-odds))

    def observe_model(self, annotator: Annotator, base: float, *, label: bool) -> None:
        """Compare a label with the log odds that the shipped weights give to its event."""
        if (record := self._records.peek(annotator[0], annotator)) is None:
            return
        p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, base))))
        p = min(_MODEL_CERTAINTY, max(1.0 - _MODEL_CERTAINTY, p))
        evidence = _evidence(p, label=label)
        if p >= 0.5:
            record.model_true = _clip(record.model_true + evidence, _MODEL_PRAISE_MAX)
        else:
            record.model_false = _clip(record.model_false + evidence, _MODEL_PRAISE_MAX)

    def observe_rank(self, annotator: Annotator, base: float, *, label: bool) -> None:
        """Add an event's log odds under the shipped weights to the scores of events labelled True, or False."""
        if (record := self._records.peek(annotator[0], annotator)) is None:
            return
        base = max(-30.0, min(30.0, base))
        if label:
            record.true_n += 1.0
            step = base - record.true_mean
            record.true_mean += step / record.true_n
            record.true_spread += step * (base - record.true_mean)
        else:
            record.false_n += 1.0
            step = base - record.false_mean
            record.false_mean += step / record.false_n
            record.false_spread += step * (base - record.false_mean)

    def observe_peer(self, annotator: Annotator, peer_label: bool, peer_trust: float, *, label: bool) -> None:
        """Compare a label with the label of another annotator, given the current trust in that annotator."""
        if (record := self._records.peek(annotator[0], annotator)) is None:
            return
        certainty = 0.5 + (_PEER_CERTAINTY - 0.5) * peer_trust
        p = certainty if peer_label else 1.0 - certainty
        evidence = _evidence(p, label=label)
        if p >= 0.5:
            record.peers_true = _clip(record.peers_true + evidence, _EVIDENCE_MAX)
        else:
            record.peers_false = _clip(record.peers_false + evidence, _EVIDENCE_MAX)

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        rows = [_numbers_of(record) for record in self._records.values()]
        numbers = np.array(rows, np.float64).reshape(len(rows), _NUMBERS)
        names = [list(annotator) for annotator in self._records]
        return {"names": names, "tenants": self._records.tenants(), "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        names = [expect_texts(annotator, 2) for annotator in state["names"]]
        expect_at_most(names, self._config.annotators, "annotators")
        rows = expect_array(state["numbers"], np.float64, len(names), _NUMBERS).tolist()
        records = [_Record(*row) for row in rows]
        if any(min(r.labels, r.false_n, r.false_spread, r.true_n, r.true_spread) < 0.0 for r in records):
            raise ValueError("an annotator has a negative count or sum of squares")
        self._records.restore(state["tenants"], ((tenant, name) for tenant, name in names), records)


def _evidence(p: float, *, label: bool) -> float:
    return math.log(p / (1.0 - p)) * (1.0 if label else -1.0)


def _clip(odds: float, maximum: float) -> float:
    return max(-_EVIDENCE_MAX, min(maximum, odds))


def _worse(on_true: float, on_false: float) -> float:
    """Return the lower of two pieces of evidence, ignoring a piece that is 0."""
    return min((odds for odds in (on_true, on_false) if odds), default=0.0)


def _ranks_like_the_model(record: _Record) -> bool:
    """Return True if events labelled True score significantly higher than those labelled False (Welch's test)."""
    false_n, true_n = record.false_n, record.true_n
    if min(false_n, true_n) < _RANK_LABELS_MIN:
        return False
    variance = record.false_spread / (false_n * (false_n - 1.0)) + record.true_spread / (true_n * (true_n - 1.0))
    return record.true_mean - record.false_mean > _RANK_SIGMAS * math.sqrt(variance)


def annotator_of(feedback: Feedback) -> Annotator:
    """Return the annotator of a label: its user, or all unnamed users of its source together.

    The number of unnamed users is unknown, so their labels have no daily limit per annotator.
    """
    name = f"user {feedback.user_id}" if feedback.user_id else f"any {feedback.source}"
    return feedback.tenant, name[:256]


def is_person(annotator: Annotator) -> bool:
    """Return True if an annotator is a single person."""
    return annotator[1].startswith("user ")

"""How far each labeller is believed: by how many labels came at once, and by what they contradict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.common.state_validation import array, texts, within
from agents.common.tenant_map import TenantLru
from agents.learning.config import LearningConfig
from schemas.feedback import Feedback

Labeller = tuple[str, str]
"""Tenant and name, as `labeller` gives it."""

DAY_MS = 86_400_000
_START = {"annotator": 4.0, "judge": 3.0, "thumbs": 2.0, "user": 2.0}
"""Log odds that a labeller whom nothing is known of is honest, by source."""
_BOUND, _PRAISE = 6.0, 1.0
"""Most that evidence counts; most that agreeing with the model counts, which is no merit."""
_TRUE, _FALSE = 0, 1
_MODEL, _OTHERS, _COUNT, _DAY, _BEGAN, _FALSES, _TRUES = 0, 2, 4, 5, 6, 7, 10
_NUMBERS = 13
_SET_ASIDE = -1.0
"""Log odds below which none of a labeller's labels count."""
_MODEL_KNOWS, _OTHERS_KNOW = 0.7, 0.9
"""Most that the model's or another labeller's word is worth against a labeller's own, as a probability."""
_ORDER, _ERRORS, _FEW = 2.5, 3.0, 8
"""What order makes good, by which annotators and judges are believed though they contradict all the time, users are
not; how many standard errors what they find true must be above what they find false; how many of each that takes."""


class Labellers:
    """Log odds, for each labeller, of being honest against answering the opposite, in bounded memory.

    Each label is compared with what the shipped weights said of its event (not the learned ones: those a liar may have
    made) and with what other labellers said of it; apart for events that those find true and that they find false, and
    the worse of the two counts: who says "false" to everything is right most of the time. An honest labeller agrees
    more often than not, also where the model is poor; one who contradicts loses belief with every label, and below a
    limit none of the labels counts, not even earlier ones. Others who confirm them win it back. Where most events are
    attacks that the model misses, an honest labeller finds true what it finds false all the time, and yet what they
    find true scores higher than what they find false: such order makes good for that, and for nothing else.

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
        self._known = TenantLru[Labeller, list[float]](config.labellers)

    def count(self, who: Labeller, source: str, now_ms: int) -> float:
        """Count a label; return what it weighs, 0 to 1."""
        config = self._config
        record = self._known.get(who[0], who)
        if record is None:
            record = [0.0] * _NUMBERS
            record[_DAY], record[_BEGAN] = float(now_ms), _START[source]
            self._known.put(who[0], who, record)
        if now_ms - record[_DAY] >= DAY_MS:
            record[_COUNT], record[_DAY] = 0.0, float(now_ms)
        record[_COUNT] += 1.0
        often = min(1.0, math.sqrt(config.labels_a_day / record[_COUNT])) if is_person(who) else 1.0
        return config.weight(source) * often * self.believed(who)

    def believed(self, who: Labeller) -> float:
        """Return how far a labeller is believed, 0 (set aside) to 1."""
        record = self._known.peek(who[0], who)
        if record is None:
            return 0.5
        missed = record[_MODEL + _FALSE]
        if missed < 0.0 and _in_order(record):
            missed = min(0.0, missed + _ORDER)
        by_model = record[_MODEL + _TRUE], missed
        by_others = record[_OTHERS : _OTHERS + 2]
        odds = record[_BEGAN] + sum(min((v for v in each if v), default=0.0) for each in (by_model, by_others))
        return 0.0 if odds < _SET_ASIDE else 1.0 / (1.0 + math.exp(-odds))

    def against_model(self, who: Labeller, base: float, *, label: bool) -> None:
        """Compare a label with the shipped weights' log odds of its event."""
        p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, base))))
        self._learn(who, _MODEL, min(_MODEL_KNOWS, max(1.0 - _MODEL_KNOWS, p)), label=label)

    def place(self, who: Labeller, base: float, *, label: bool) -> None:
        """Remember where in the model's order an event was that was found true, or false."""
        if (record := self._known.peek(who[0], who)) is not None:
            k = _TRUES if label else _FALSES
            base = max(-30.0, min(30.0, base))
            record[k] += 1.0
            step = base - record[k + 1]
            record[k + 1] += step / record[k]
            record[k + 2] += step * (base - record[k + 1])

    def against_other(self, who: Labeller, other: bool, believed: float, *, label: bool) -> None:
        """Compare a label with that of another labeller, who is believed so far."""
        sure = 0.5 + (_OTHERS_KNOW - 0.5) * believed
        self._learn(who, _OTHERS, sure if other else 1.0 - sure, label=label)

    def _learn(self, who: Labeller, whose: int, p: float, *, label: bool) -> None:
        if (record := self._known.peek(who[0], who)) is not None:
            place = whose + (_TRUE if p >= 0.5 else _FALSE)
            evidence = math.log(p / (1.0 - p)) * (1.0 if label else -1.0)
            most = _PRAISE if whose == _MODEL else _BOUND
            record[place] = max(-_BOUND, min(most, record[place] + evidence))

    def state(self) -> dict[str, Any]:
        """Return names and numbers in the order of `TenantLru.items`."""
        numbers = np.array(list(self._known.values()), np.float64).reshape(len(self._known), _NUMBERS)
        names = [list(who) for who in self._known]
        return {"names": names, "tenants": self._known.tenants(), "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        names = [texts(who, 2) for who in state["names"]]
        within(names, self._config.labellers, "labellers")
        found = array(state["numbers"], np.float64, len(names), _NUMBERS)
        if (found[:, [_COUNT, _FALSES, _FALSES + 2, _TRUES, _TRUES + 2]] < 0.0).any():
            raise ValueError("a labeller's numbers that cannot be")
        self._known.restore(state["tenants"], ((tenant, name) for tenant, name in names), found.tolist())


def _in_order(record: list[float]) -> bool:
    """Whether what somebody finds true scores higher than what they find false, by Welch's test."""
    false, mean_false, spread_false = record[_FALSES : _FALSES + 3]
    true, mean_true, spread_true = record[_TRUES : _TRUES + 3]
    if min(false, true) < _FEW:
        return False
    variance = spread_false / (false * (false - 1.0)) + spread_true / (true * (true - 1.0))
    return mean_true - mean_false > _ERRORS * math.sqrt(variance)


def labeller(feedback: Feedback) -> Labeller:
    """Return who labelled: the user where one is given, all of that source otherwise.

    Nobody knows how many the latter are, so how many labels they give in a day limits nothing.
    """
    name = f"user {feedback.user_id}" if feedback.user_id else f"any {feedback.source}"
    return feedback.tenant, name[:256]


def is_person(who: Labeller) -> bool:
    """Whether a labeller is one person."""
    return who[1].startswith("user ")

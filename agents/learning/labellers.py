"""How far each labeller is believed: by how many labels came at once, and by what they contradict."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.learning.config import LearningConfig
from agents.learning.fit import array, texts
from schemas.feedback import Feedback

Labeller = tuple[str, str]
"""Tenant and name, as `labeller` gives it."""

DAY_MS = 86_400_000
_START = {"annotator": 4.0, "judge": 3.0, "thumbs": 2.0, "user": 2.0}
"""Log odds that a labeller whom nothing is known of is honest, by source."""
_BOUND, _PRAISE = 6.0, 1.0
"""Most that evidence counts; most that agreeing with the model counts, which is no merit."""
_TRUE, _FALSE = 0, 1
_MODEL, _OTHERS, _COUNT, _DAY, _BEGAN, _ORDER, _FALSES, _TRUES = 0, 2, 4, 5, 6, 7, 8, 10
_NUMBERS = 12
_SET_ASIDE = -1.0
"""Log odds below which none of a labeller's labels count."""
_MODEL_KNOWS, _OTHERS_KNOW = 0.7, 0.9
"""Most that the model's or another labeller's word is worth against a labeller's own, as a probability."""
_IN_ORDER, _MOST_ORDER, _FEW = 0.7, 2.5, 3
"""Share of an honest labeller's labels that are in the model's order; most that such order counts, by which annotators
and judges are believed though they contradict all the time, users are not; labels of the other kind that it takes."""


class Labellers:
    """Log odds, for each labeller, of being honest against answering the opposite, in bounded memory.

    Each label is compared with what the shipped weights said of its event (not the learned ones: those a liar may have
    made) and with what other labellers said of it; apart for events that those find true and that they find false, and
    the worse of the two counts: who says "false" to everything is right most of the time. An honest labeller agrees
    more often than not, also where the model is poor; one who contradicts loses belief with every label, and below a
    limit none of the labels counts, not even earlier ones. Others who confirm them win it back. So does order: where
    most events are attacks that the model misses, an honest labeller contradicts it all the time, and yet what they
    find true scores higher than what they find false.

    Parameters
    ----------
    config
        See `LearningConfig`.

    References
    ----------
    Dawid, A. P., Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates using the EM algorithm.
    Applied Statistics 28, 20-28. (Here one step at a time, with the model as one of the observers.)
    """

    def __init__(self, config: LearningConfig) -> None:
        self._config = config
        self._known: OrderedDict[Labeller, list[float]] = OrderedDict()

    def count(self, who: Labeller, source: str, now_ms: int) -> float:
        """Count a label; return what it weighs, 0 to 1."""
        config = self._config
        record = self._known.pop(who, None)
        if record is None:
            record = [0.0] * _NUMBERS
            record[_DAY], record[_BEGAN] = float(now_ms), _START[source]
        self._known[who] = record
        if len(self._known) > config.labellers:
            self._known.popitem(last=False)
        if now_ms - record[_DAY] >= DAY_MS:
            record[_COUNT], record[_DAY] = 0.0, float(now_ms)
        record[_COUNT] += 1.0
        often = min(1.0, math.sqrt(config.labels_a_day / record[_COUNT])) if is_person(who) else 1.0
        return config.weight(source) * often * self.believed(who)

    def believed(self, who: Labeller) -> float:
        """Return how far a labeller is believed, 0 (set aside) to 1."""
        record = self._known.get(who)
        if record is None:
            return 0.5
        odds = record[_BEGAN] + record[_ORDER]
        odds += sum(min((v for v in record[k : k + 2] if v), default=0.0) for k in (_MODEL, _OTHERS))
        return 0.0 if odds < _SET_ASIDE else 1.0 / (1.0 + math.exp(-odds))

    def against_model(self, who: Labeller, base: float, *, label: bool) -> None:
        """Compare a label with the shipped weights' log odds of its event."""
        p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, base))))
        self._learn(who, _MODEL, min(_MODEL_KNOWS, max(1.0 - _MODEL_KNOWS, p)), label=label)
        if (record := self._known.get(who)) is not None:
            _note_order(record, base, label=label)

    def against_other(self, who: Labeller, other: bool, believed: float, *, label: bool) -> None:
        """Compare a label with that of another labeller, who is believed so far."""
        sure = 0.5 + (_OTHERS_KNOW - 0.5) * believed
        self._learn(who, _OTHERS, sure if other else 1.0 - sure, label=label)

    def _learn(self, who: Labeller, whose: int, p: float, *, label: bool) -> None:
        if (record := self._known.get(who)) is not None:
            place = whose + (_TRUE if p >= 0.5 else _FALSE)
            evidence = math.log(p / (1.0 - p)) * (1.0 if label else -1.0)
            most = _PRAISE if whose == _MODEL else _BOUND
            record[place] = max(-_BOUND, min(most, record[place] + evidence))

    def state(self) -> dict[str, Any]:
        """Names and numbers, the longest silent first."""
        numbers = np.array(list(self._known.values()), np.float64).reshape(len(self._known), _NUMBERS)
        return {"names": [list(who) for who in self._known], "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        names = [texts(who, 2) for who in state["names"]]
        numbers = array(state["numbers"], np.float64, len(names), _NUMBERS).tolist()
        self._known = OrderedDict(((who[0], who[1]), row) for who, row in zip(names, numbers, strict=True))


def _note_order(record: list[float], base: float, *, label: bool) -> None:
    """Hold an event's log odds against the mean of those that were labelled the other way; then add it to its own."""
    own, other = (_TRUES, _FALSES) if label else (_FALSES, _TRUES)
    if record[other + 1] >= _FEW:
        in_order = (base > record[other] / record[other + 1]) == label
        evidence = math.log((_IN_ORDER if in_order else 1.0 - _IN_ORDER) / 0.5)
        record[_ORDER] = max(0.0, min(_MOST_ORDER, record[_ORDER] + evidence))
    record[own] += max(-30.0, min(30.0, base))
    record[own + 1] += 1.0


def labeller(feedback: Feedback) -> Labeller:
    """Return who labelled: the user where one is given, all of that source otherwise.

    Nobody knows how many the latter are, so how many labels they give in a day limits nothing.
    """
    name = f"user {feedback.user_id}" if feedback.user_id else f"any {feedback.source}"
    return feedback.tenant, name[:256]


def is_person(who: Labeller) -> bool:
    """Whether a labeller is one person."""
    return who[1].startswith("user ")

"""Evaluation results (``gen_ai.evaluation.result``) as labels that our agents learn from.

An evaluation's name tells the signal: what measures injection or jailbreaks is about ``injection``, what measures
grounding is about ``hallucination``. Which way round it measures also stands in the name: a high ``Hallucination``
is bad, a high ``Groundedness`` good. Evaluations of other things are counted, not learned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.connectors.otlp.any_value import number

EVENT: Final = "gen_ai.evaluation.result"


class Judged(NamedTuple):
    """A label."""

    signal: str
    label: bool


_SIGNALS: Final = (
    # (what the name holds, signal, True where a high score or a "yes" says that the thing is there)
    (re.compile(r"injection|jailbreak|indirect.?attack|xpia"), "injection", True),
    (re.compile(r"hallucinat|ungrounded|unfaithful|fabricat"), "hallucination", True),
    (re.compile(r"grounded|faithful|factual"), "hallucination", False),
)
_GOOD: Final = frozenset(
    {"pass", "passed", "safe", "benign", "clean", "ok", "grounded", "faithful", "factual", "correct", "supported"}
)
_BAD: Final = frozenset(
    {"fail", "failed", "unsafe", "malicious", "attack", "injection", "jailbreak", "hallucinated", "hallucination"}
    | {"ungrounded", "unfaithful", "unsupported", "incorrect", "flagged"}
)
_MUCH: Final = frozenset({"true", "yes", "1", "high", "very high", "positive", "detected"})
_LITTLE: Final = frozenset({"false", "no", "0", "low", "very low", "negative", "not_detected"})


def judged(attributes: Mapping[str, Any]) -> Judged | None:
    """Return the label that an evaluation gives; None where it is about something else or does not say."""
    name = str(attributes.get("gen_ai.evaluation.name", "")).lower()
    for pattern, signal, high_is_bad in _SIGNALS:
        if pattern.search(name):
            bad = _bad(attributes, high_is_bad=high_is_bad)
            return None if bad is None else Judged(signal, bad)
    return None


def _bad(attributes: Mapping[str, Any], *, high_is_bad: bool) -> bool | None:
    """Tell whether the thing is there: by the label, else by a score between 0 and 1 (the rest have other scales)."""
    label = attributes.get("gen_ai.evaluation.score.label")
    word = str(label).lower().strip() if isinstance(label, str | bool | int) else ""
    if word in _GOOD or word in _BAD:
        return word in _BAD
    if word in _MUCH or word in _LITTLE:
        return (word in _MUCH) == high_is_bad
    score = number(attributes.get("gen_ai.evaluation.score.value"))
    if score is None or not 0.0 <= score <= 1.0:
        return None
    return (score >= 0.5) == high_is_bad

"""Conversion of evaluation results (``gen_ai.evaluation.result``) to labels.

The name of an evaluation determines the signal: evaluations of injections or jailbreaks label ``injection``,
evaluations of grounding label ``hallucination``. The name also determines the direction: a high ``Hallucination`` is
bad, a high ``Groundedness`` is good. All other evaluations are counted, not learned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.connectors.otlp.any_value import number

EVENT: Final = "gen_ai.evaluation.result"


class EvaluationLabel(NamedTuple):
    """The label of an evaluation."""

    signal: str
    label: bool


_SIGNALS: Final = (
    # (pattern of the name, signal, True if a high score or "yes" means a positive label)
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
_HIGH: Final = frozenset({"true", "yes", "1", "high", "very high", "positive", "detected"})
_LOW: Final = frozenset({"false", "no", "0", "low", "very low", "negative", "not_detected"})


def evaluation_label(attributes: Mapping[str, Any]) -> EvaluationLabel | None:
    """Return the label of an evaluation; None if it measures something else or has no usable result."""
    name = str(attributes.get("gen_ai.evaluation.name", "")).lower()
    for pattern, signal, high_is_bad in _SIGNALS:
        if pattern.search(name):
            bad = _is_bad(attributes, high_is_bad=high_is_bad)
            return None if bad is None else EvaluationLabel(signal, bad)
    return None


def _is_bad(attributes: Mapping[str, Any], *, high_is_bad: bool) -> bool | None:
    """Return True for a positive label: by the evaluation's label, else by a score between 0 and 1; None if unknown."""
    label = attributes.get("gen_ai.evaluation.score.label")
    word = str(label).lower().strip() if isinstance(label, str | bool | int) else ""
    if word in _GOOD or word in _BAD:
        return word in _BAD
    if word in _HIGH or word in _LOW:
        return (word in _HIGH) == high_is_bad
    score = number(attributes.get("gen_ai.evaluation.score.value"))
    if score is None or not 0.0 <= score <= 1.0:
        return None
    return (score >= 0.5) == high_is_bad

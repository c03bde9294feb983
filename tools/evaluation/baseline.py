"""Simple baselines to compare the agents with."""

from __future__ import annotations

import re

from schemas.event import LLMEvent

PHRASES = (
    *("ignore previous", "ignore above", "ignore instructions", "ignore rules", "disregard previous"),
    *("disregard above", "disregard instructions", "forget previous", "forget instructions", "forget everything"),
    *("override instructions", "bypass restrictions", "system prompt", "previous instructions", "new instructions"),
    *("reveal prompt", "reveal instructions", "do anything now", "developer mode", "jailbreak", "you are now"),
    *("pretend you", "without restrictions", "no restrictions"),
)
"""Phrases; up to three other words may stand between two of their words ("ignore all of the previous" matches)."""
MISSING_LIMIT = 0.5
"""Fraction of a response's words missing in the context above which the response is flagged."""

_BETWEEN = r"\b(?:\W+\w+){0,3}?\W+"
_PATTERNS = tuple(re.compile(_BETWEEN.join(phrase.split()) + r"\b") for phrase in PHRASES)
_WORD = re.compile(r"\w+")


def baseline(signal: str, event: LLMEvent) -> tuple[float, bool]:
    """Return score and flag of the baseline: a keyword list for injection, word overlap for hallucination."""
    if signal == "injection":
        matches = keywords("\n".join([*(m.content for m in event.messages), event.text("document")]))
        return float(matches), matches > 0
    missing = missing_words(event.text("document"), event.text("response"))
    return missing, missing > MISSING_LIMIT


def keywords(text: str) -> int:
    """Count the `PHRASES` in a text.

    Examples
    --------
    >>> keywords("Ignore all the previous text!"), keywords("Which fee did I pay before?")
    (1, 0)
    """
    lowered = text.lower()
    return sum(pattern.search(lowered) is not None for pattern in _PATTERNS)


def missing_words(context: str, response: str) -> float:
    """Return the fraction of a response's words that the context lacks; -1 if context or response has no words.

    Examples
    --------
    >>> missing_words("The bridge opened in 1932.", "the Bridge closed in 1932")
    0.2
    """
    words, context_words = _WORD.findall(response.lower()), set(_WORD.findall(context.lower()))
    if not words or not context_words:
        return -1.0
    return sum(word not in context_words for word in words) / len(words)

"""Grounding features of one event, and the sign of each feature's weight."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Feature: TypeAlias = Literal[
    "words",  # share of the response's words that the context or the question has
    "pairs",  # share of the response's word pairs that the context has
    "content",  # share of the response's content words whose stem the context has
    "worst_sentence",  # "content" of the response sentence with the lowest share
    "aligned",  # share of the content stems found in the best-matching context sentence of each response sentence
    "gap",  # longest run of unsupported content words as a share of all content words
    "numbers",  # share of the response's numbers that neither context nor question has, by value
    "numbers_any",  # u / (1 + u) for u unsupported numbers; every name in _any has this form
    "names",  # share of the capitalised words inside sentences that neither context nor question has
    "names_any",
    "sources_any",  # unsupported URLs, e-mail addresses and citation marks
    "quotes_any",  # quoted passages that the context lacks
    "opposites_any",  # words whose opposite is in the best-matching sentence, weighted by the match
    "denials_any",  # negated sentences whose best-matching context sentence is affirmative
    "denial_new",  # 1 if the response has a negation and the context has none
    "absolutes_any",  # absolutes such as "all", "only" and "first" that the context lacks
    "order",  # share of neighbouring shared stems whose order differs in the best-matching sentence
    "numbers_close",  # numbers_any, names_any and denials_any times the square of "aligned": one foreign word is
    "names_close",  # stronger evidence in a response that follows its context closely
    "denials_close",
    "surprise",  # mean surprisal of the worst token window over 8 nats (at most 1); 0 without log-probabilities
    "disagreement",  # mean disagreement with other choices, or with the previous answer to the same question
]
"""No feature depends on the length of the response: in public sets length predicts the label, in production it does
not."""

FEATURES: tuple[Feature, ...] = get_args(Feature)
SUPPORT = 5
"""The first five features measure support (weights at most 0), the others missing support (weights at least 0)."""
WORDS, PAIRS, COVERED, WORST, ALIGNED, GAP, NUMBERS, NUMBERS_ANY, NAMES, NAMES_ANY, SOURCES_ANY = range(11)
QUOTES_ANY, OPPOSITES_ANY, DENIALS_ANY, DENIAL_NEW, ABSOLUTES_ANY, ORDER = range(11, 17)
NUMBERS_CLOSE, NAMES_CLOSE, DENIALS_CLOSE, SURPRISE, DISAGREEMENT = range(17, 22)
UNTRAINED = (SURPRISE, DISAGREEMENT)
"""Features that no labelled set contains: their initial weight is 0, and labels of the stream can raise it."""
EVIDENCE = 5
"""Maximum number of unsupported strings in a signal."""

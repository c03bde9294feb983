"""What is compared: the features of one event and their signs."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Feature: TypeAlias = Literal[
    "words",  # share of the response's words that the context or the question has
    "pairs",  # share of its word pairs that the context has
    "grams",  # share of its character n-grams that the context has
    "content",  # share of its content words whose stem the context has
    "worst_sentence",  # the same for the sentence where it is least
    "aligned",  # share of its content stems found in the one context sentence that fits each sentence best
    "gap",  # longest run of content words without support, of all content words
    "numbers",  # share of its numbers that neither context nor question has, by value
    "numbers_any",  # u / (1 + u) of how many those are, as in all that follow with this ending
    "names",  # the same two for capitalised words inside sentences
    "names_any",
    "sources_any",  # URLs, e-mail addresses and citation marks without support
    "quotes_any",  # quoted passages that do not stand in the context
    "opposites_any",  # a word whose opposite stands in the best context sentence, weighed by its fit
    "denials_any",  # sentences that deny where the best context sentence affirms
    "denial_new",  # 1 where the response denies and the context nowhere does
    "absolutes_any",  # "all", "only", "first" and their like, which the context lacks
    "order",  # share of neighbours among the shared stems that stand in another order in the best sentence
    "numbers_close",  # numbers_any, names_any, denials_any times the square of "aligned": in a text that follows
    "names_close",  # its context closely a single foreign word tells more
    "denials_close",
    "surprise",  # mean surprise of the worst window of tokens, in nats, of 8 at most; 0 where not given
    "disagreement",  # of several choices, or with the answer to the same question and context before
]
"""No feature tells the length of the response: in public sets length gives labels away, in production it does not."""

FEATURES: tuple[Feature, ...] = get_args(Feature)
SUPPORT = 6
"""The first six speak for support (weights at most 0); the others against it (at least 0)."""
WORDS, PAIRS, GRAMS, COVERED, WORST, ALIGNED, GAP, NUMBERS, NUMBERS_ANY, NAMES, NAMES_ANY, SOURCES_ANY = range(12)
QUOTES_ANY, OPPOSITES_ANY, DENIALS_ANY, DENIAL_NEW, ABSOLUTES_ANY, ORDER = range(12, 18)
NUMBERS_CLOSE, NAMES_CLOSE, DENIALS_CLOSE, SURPRISE, DISAGREEMENT = range(18, 23)
UNTRAINED = (SURPRISE, DISAGREEMENT)
"""No labelled set has them: they ship with weight 0, which labels of the stream can raise."""
EVIDENCE = 5
"""Unsupported strings shown at most."""

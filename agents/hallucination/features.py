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
    "numbers",  # share of its numbers that neither context nor question has
    "numbers_any",  # u / (1 + u) of how many those are
    "names",  # the same two for capitalised words inside sentences
    "names_any",
    "addresses_any",  # u / (1 + u) of URLs and e-mail addresses without support
    "negation",  # share of sentences that deny where the best context sentence affirms, or the other way
]
"""No feature tells the length of the response: in public sets length gives labels away, in production it does not."""

FEATURES: tuple[Feature, ...] = get_args(Feature)
SUPPORT = 6
"""The first six speak for support (weights at most 0); the others against it (at least 0)."""
WORDS, PAIRS, GRAMS, COVERED, WORST, ALIGNED, GAP, NUMBERS, NUMBERS_ANY, NAMES, NAMES_ANY, ADDRESSES_ANY, DENIAL = (
    range(13)
)
EVIDENCE = 5
"""Unsupported strings shown at most."""

"""Whom to believe where the model misses most attacks: order tells, contradictions alone do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.learning import LearningConfig
from agents.learning.annotators import Labeller, Labellers

ANN: Labeller = ("acme", "user ann")
Says = Callable[[bool, np.random.Generator], bool]


def after(says: Says, *, source: str = "annotator", higher: float = 2.0, attacks: float = 0.94, seed: int = 1) -> float:
    """Return how far somebody is believed after 300 labels of events that the model all finds harmless."""
    rng, labellers = np.random.default_rng(seed), Labellers(LearningConfig())
    for _ in range(300):
        attack = bool(rng.random() < attacks)
        labellers.count(ANN, source, 0)
        base, label = float(rng.normal(-5.0 + higher * attack)), says(attack, rng)
        labellers.place(ANN, base, label=label)
        labellers.against_model(ANN, base, label=label)
    return labellers.believed(ANN)


def test_an_honest_annotator_is_believed_where_the_model_misses_most_attacks() -> None:
    assert after(lambda attack, _: attack) > 0.5


@pytest.mark.parametrize("source", ["annotator", "judge", "user"])
def test_who_says_the_opposite_is_not(source: str) -> None:
    assert after(lambda attack, _: not attack, source=source, attacks=0.06) == 0.0


@pytest.mark.parametrize("source", ["annotator", "judge", "user"])
def test_order_by_chance_wins_no_belief(source: str) -> None:
    """Of somebody who says true to nine of ten harmless events, at random."""
    says = [lambda _, rng: bool(rng.random() < 0.9)] * 20
    believed = [after(each, source=source, attacks=0.0, seed=seed) for seed, each in enumerate(says)]
    assert sum(b > 0.0 for b in believed) <= 1


def test_order_makes_good_for_nothing_but_attacks_that_the_model_misses() -> None:
    """Who says true to the surest events and false to all others is in order, and a liar."""
    labellers = Labellers(LearningConfig())
    for base, label in [(9.0, True)] * 8 + [(float(b), False) for b in np.linspace(1.0, 5.0, 300)]:
        labellers.count(ANN, "annotator", 0)
        labellers.place(ANN, base, label=label)
        labellers.against_model(ANN, base, label=label)
    assert labellers.believed(ANN) == 0.0

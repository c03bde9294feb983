"""Whom to believe where the model misses most attacks: order tells, contradictions alone do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.learning import LearningConfig
from agents.learning.labellers import Labeller, Labellers

ANN: Labeller = ("acme", "user ann")
Says = Callable[[bool, np.random.Generator], bool]


def after(says: Says, *, source: str = "annotator", higher: float = 2.0, attacks: float = 0.94, seed: int = 1) -> float:
    """Return how far somebody is believed after 300 labels of events that the model all finds harmless."""
    rng, labellers = np.random.default_rng(seed), Labellers(LearningConfig())
    for _ in range(300):
        attack = bool(rng.random() < attacks)
        labellers.count(ANN, source, 0)
        labellers.against_model(ANN, float(rng.normal(-5.0 + higher * attack)), label=says(attack, rng))
    return labellers.believed(ANN)


def test_an_honest_annotator_is_believed_where_the_model_misses_most_attacks() -> None:
    assert after(lambda attack, _: attack) > 0.5


@pytest.mark.parametrize("source", ["annotator", "judge", "user"])
def test_who_says_the_opposite_is_not(source: str) -> None:
    assert after(lambda attack, _: not attack, source=source, attacks=0.06) == 0.0


def test_order_that_is_none_wins_a_user_no_belief() -> None:
    for seed in range(20):
        assert after(lambda attack, _: attack, higher=0.0, source="user", seed=seed) == 0.0


def test_a_user_who_says_true_to_nearly_everything_harmless_is_set_aside() -> None:
    for seed in range(20):
        assert after(lambda _, rng: bool(rng.random() < 0.9), source="user", attacks=0.0, seed=seed) == 0.0

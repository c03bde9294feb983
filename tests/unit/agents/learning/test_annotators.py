"""Trust in annotators where the model misses most attacks: rank evidence counts, contradiction alone does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.learning import LearningConfig
from agents.learning.annotators import Annotator, AnnotatorReliability

ANN: Annotator = ("acme", "user ann")
Answer = Callable[[bool, np.random.Generator], bool]


def trust_after(
    answer: Answer, *, source: str = "annotator", higher: float = 2.0, attacks: float = 0.94, seed: int = 1
) -> float:
    """Return the trust after 300 labels of events that the model finds harmless."""
    rng, annotators = np.random.default_rng(seed), AnnotatorReliability(LearningConfig())
    for _ in range(300):
        attack = bool(rng.random() < attacks)
        annotators.label_weight(ANN, source, 0)
        base, label = float(rng.normal(-5.0 + higher * attack)), answer(attack, rng)
        annotators.observe_rank(ANN, base, label=label)
        annotators.observe_model(ANN, base, label=label)
    return annotators.trust(ANN)


def test_an_honest_annotator_is_trusted_where_the_model_misses_most_attacks() -> None:
    assert trust_after(lambda attack, _: attack) > 0.5


@pytest.mark.parametrize("source", ["annotator", "judge", "user"])
def test_an_annotator_who_answers_the_opposite_is_not_trusted(source: str) -> None:
    assert trust_after(lambda attack, _: not attack, source=source, attacks=0.06) == 0.0


@pytest.mark.parametrize("source", ["annotator", "judge", "user"])
def test_random_ranks_win_no_trust(source: str) -> None:
    """Nine of ten harmless events are labelled true, at random."""
    answers = [lambda _, rng: bool(rng.random() < 0.9)] * 20
    trust = [trust_after(each, source=source, attacks=0.0, seed=seed) for seed, each in enumerate(answers)]
    assert sum(t > 0.0 for t in trust) <= 1


def test_rank_evidence_offsets_nothing_but_attacks_that_the_model_misses() -> None:
    """A liar who labels the most certain events true and all other events false ranks like the model."""
    annotators = AnnotatorReliability(LearningConfig())
    for base, label in [(9.0, True)] * 8 + [(float(b), False) for b in np.linspace(1.0, 5.0, 300)]:
        annotators.label_weight(ANN, "annotator", 0)
        annotators.observe_rank(ANN, base, label=label)
        annotators.observe_model(ANN, base, label=label)
    assert annotators.trust(ANN) == 0.0

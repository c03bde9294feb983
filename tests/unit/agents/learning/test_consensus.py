"""Duplicate labels, contradictory labels, and annotators who contradict everything."""

from __future__ import annotations

import pytest

from agents.learning import Learner
from tests.learning import bits, label, learner, margin, show


@pytest.fixture
def scored() -> Learner:
    made = learner()
    for n in range(40):
        show(made, n)
    return made


def test_a_label_moves_its_event_and_similar_events(scored: Learner) -> None:
    assert scored.learn(label(1, value=True))
    assert margin(scored, 1) > -0.5
    assert margin(scored, 500) > -1.0


def test_the_same_feedback_counts_once(scored: Learner) -> None:
    assert scored.learn(label(1, value=True))
    before = bits(scored)
    assert not scored.learn(label(1, value=True))
    assert scored.counts.repeated == 1
    scored.counts.repeated = 0
    assert bits(scored) == before


def test_a_label_of_an_unknown_event_changes_only_the_count(scored: Learner) -> None:
    before = bits(scored)
    assert not scored.learn(label(999, value=True))
    assert scored.counts.unknown == 1
    scored.counts.unknown = 0
    assert bits(scored) == before


def test_a_repeated_label_of_the_same_annotator_adds_nothing(scored: Learner) -> None:
    scored.learn(label(1, value=True))
    before = margin(scored, 1)
    assert scored.learn(label(1, value=True, feedback_id="again"))
    assert margin(scored, 1) == pytest.approx(before, abs=0.05)
    assert len(scored.deltas) == 1


def test_contradictory_labels_of_equal_weight_restore_the_weights(scored: Learner) -> None:
    scored.learn(label(1, value=True))
    assert scored.deltas.shared_weights.any()
    scored.learn(label(1, value=False, who="bob"))
    assert scored.counts.no_consensus == 1
    assert not scored.deltas.shared_weights.any()
    assert not scored.deltas.tenant_weights.any()
    assert [margin(scored, n) for n in range(40)] == [-1.0] * 40


def test_a_third_vote_decides_a_tie(scored: Learner) -> None:
    for who, value in (("ann", True), ("bob", False), ("cy", True)):
        scored.learn(label(1, value=value, who=who))
    assert margin(scored, 1) > -1.0


def test_the_last_label_of_an_annotator_counts(scored: Learner) -> None:
    scored.learn(label(1, value=True))
    scored.learn(label(1, value=False))
    only = learner()
    for n in range(40):
        show(only, n)
    only.learn(label(1, value=False))
    assert margin(scored, 1) == pytest.approx(margin(only, 1), abs=0.05)


def test_an_annotator_outvotes_a_thumb(scored: Learner) -> None:
    scored.learn(label(1, value=True, who="user", source="thumbs"))
    scored.learn(label(1, value=False, who="ann"))
    assert margin(scored, 1) < -1.0


def test_an_annotator_who_always_contradicts_the_model_loses_trust_and_all_labels() -> None:
    target = learner()
    for n in range(100):
        show(target, n, topic=n % 2, base=3.0 if n % 2 else -3.0)
    for n in range(60):
        target.learn(label(n, value=n % 2 == 0, who="mallory", source="user"))
    assert target.counts.untrusted > 40
    assert len(target.tracks.unverified.deltas) == 0
    assert not target.tracks.unverified.deltas.tenant_weights.any()


def test_agreement_of_other_annotators_restores_trust() -> None:
    target = learner()
    for n in range(200):
        show(target, n, base=-3.0)
    for n in range(30):
        target.learn(label(n, value=True, who="ann", source="user"))
    assert target.tracks.unverified.annotators.trust(("acme", "user ann")) == 0.0
    for n in range(30):
        target.learn(label(n, value=True, who="bob"))
        target.learn(label(n, value=True, who="cy"))
    assert target.tracks.unverified.annotators.trust(("acme", "user ann")) > 0.5


def test_labels_beyond_one_hundred_per_day_count_less() -> None:
    target = learner()
    annotators = target.tracks.verified.annotators
    weights = [annotators.label_weight(("t", "user ann"), "annotator", 0) for _ in range(400)]
    assert weights[:100] == [weights[0]] * 100
    assert weights[399] == pytest.approx(weights[0] / 2)
    assert annotators.label_weight(("t", "user ann"), "annotator", 86_400_000) == weights[0]
    assert [annotators.label_weight(("t", "any judge"), "annotator", 0) for _ in range(400)][399] == weights[0]

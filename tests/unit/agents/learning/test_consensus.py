"""Labels that come twice, contradict one another, or come from somebody who contradicts everything."""

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


def test_a_label_moves_its_event_and_those_alike(scored: Learner) -> None:
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


def test_a_label_of_an_unknown_event_changes_nothing_but_the_count(scored: Learner) -> None:
    before = bits(scored)
    assert not scored.learn(label(999, value=True))
    assert scored.counts.unknown == 1
    scored.counts.unknown = 0
    assert bits(scored) == before


def test_the_same_word_of_the_same_labeller_adds_nothing(scored: Learner) -> None:
    scored.learn(label(1, value=True))
    before = margin(scored, 1)
    assert scored.learn(label(1, value=True, feedback_id="again"))
    assert margin(scored, 1) == pytest.approx(before, abs=0.05)
    assert len(scored.moves) == 1


def test_contradictory_labels_of_equal_weight_leave_no_trace_in_the_weights(scored: Learner) -> None:
    scored.learn(label(1, value=True))
    assert scored.moves.shared.any()
    scored.learn(label(1, value=False, who="bob"))
    assert scored.counts.no_consensus == 1
    assert not scored.moves.shared.any()
    assert not scored.moves.own.any()
    assert [margin(scored, n) for n in range(40)] == [-1.0] * 40


def test_a_third_voice_decides(scored: Learner) -> None:
    for who, value in (("ann", True), ("bob", False), ("cy", True)):
        scored.learn(label(1, value=value, who=who))
    assert margin(scored, 1) > -1.0


def test_who_changes_their_mind_is_heard_as_they_last_spoke(scored: Learner) -> None:
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


def test_whoever_contradicts_the_model_at_every_turn_is_set_aside_and_their_labels_taken_back() -> None:
    target = learner()
    for n in range(100):
        show(target, n, topic=n % 2, base=3.0 if n % 2 else -3.0)
    for n in range(60):
        target.learn(label(n, value=n % 2 == 0, who="mallory", source="user"))
    assert target.counts.untrusted > 40
    assert len(target.tracks.unverified.moves) == 0
    assert not target.tracks.unverified.moves.own.any()


def test_others_who_confirm_win_belief_back() -> None:
    target = learner()
    for n in range(200):
        show(target, n, base=-3.0)
    for n in range(30):
        target.learn(label(n, value=True, who="ann", source="user"))
    assert target.tracks.unverified.labellers.believed(("acme", "user ann")) == 0.0
    for n in range(30):
        target.learn(label(n, value=True, who="bob"))
        target.learn(label(n, value=True, who="cy"))
    assert target.tracks.unverified.labellers.believed(("acme", "user ann")) > 0.5


def test_the_hundredth_and_first_label_of_a_day_counts_less() -> None:
    target = learner()
    labellers = target.tracks.verified.labellers
    weights = [labellers.count(("t", "user ann"), "annotator", 0) for _ in range(400)]
    assert weights[:100] == [weights[0]] * 100
    assert weights[399] == pytest.approx(weights[0] / 2)
    assert labellers.count(("t", "user ann"), "annotator", 86_400_000) == weights[0]
    assert [labellers.count(("t", "any judge"), "annotator", 0) for _ in range(400)][399] == weights[0]

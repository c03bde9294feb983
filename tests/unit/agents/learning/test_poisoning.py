"""False labels on real texts: what they cost in AUC, against the same labels without them.

The injection agent is taught something that it has never seen and that no weight which ships knows: that questions
about anything but the bank (the simulator's ``off_topic``) are the attacks. The simulator's real attacks must stay
attacks meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from agents.base import Chunk
from agents.injection import InjectionAgent
from agents.learning import LearningConfig
from evaluation.adapters.injection import as_event
from schemas.feedback import Feedback
from tools.evaluation.ranking_metrics import auc as area
from tools.evaluation.ranking_metrics import rank

SAMPLES = Path(__file__).parents[4] / "tools" / "simulator" / "samples"
TAUGHT = 500
LIMIT = 0.02


def rows(name: str) -> list[str]:
    lines = map(orjson.loads, (SAMPLES / f"{name}.jsonl").read_bytes().splitlines())
    return [line["text"] if "text" in line else line["question"] for line in lines]


ORDER = np.random.default_rng(4)
TEXTS = [(t, True) for t in rows("off_topic")] + [(t, False) for t in rows("advisor_questions")]
TEXTS = [TEXTS[k] for k in ORDER.permutation(len(TEXTS)).tolist()]
ATTACKS = rows("attacks")
EVENTS = [as_event({"text": text}, k) for k, (text, _) in enumerate(TEXTS)]
TRUTH = np.array([truth for _, truth in TEXTS])


def auc(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    found = area(rank(labels, scores))
    assert found is not None
    return found


class Story:
    """An agent that has seen all texts, and is given labels."""

    def __init__(self) -> None:
        self.agent = InjectionAgent(learning=LearningConfig(events=5000))
        self.agent.score(Chunk(EVENTS))
        self._given = 0

    def label(self, row: int, *, value: bool, who: str, source: str = "annotator") -> None:
        self._given += 1
        event = EVENTS[row]
        said = {"feedback_id": f"f{self._given}", "call_id": event.call_id, "time": event.time, "tenant": event.tenant}
        more = {"app": event.app, "signal": "injection", "label": value, "source": source, "user_id": who}
        self.give(Feedback.model_validate(said | more))

    def give(self, feedback: Feedback) -> None:
        """Users have a budget, which 500 labels exceed; whatever they say beyond it is not learned."""
        before = self.agent.learner.counts.over_budget
        known = self.agent.learn(feedback)
        assert known or (feedback.source == "user" and self.agent.learner.counts.over_budget == before + 1)

    def margins(self, texts: list[str]) -> NDArray[np.float64]:
        events = [as_event({"text": text}, 10_000 + k) for k, text in enumerate(texts)]
        self.agent.score(Chunk(events))
        found = [self.agent.learner.events.find((e.tenant, e.app, e.call_id)) for e in events]
        return np.array([f.margin for f in found if f is not None])

    def auc_of_what_was_taught(self) -> float:
        held_out = TEXTS[TAUGHT:]
        return auc(TRUTH[TAUGHT:], self.margins([text for text, _ in held_out]))

    def auc_of_attacks(self) -> float:
        harmless = [text for text, truth in TEXTS[TAUGHT:] if not truth]
        labels = np.array([True] * len(ATTACKS) + [False] * len(harmless))
        return auc(labels, self.margins(ATTACKS + harmless))


@pytest.fixture(scope="module")
def clean() -> Story:
    story = Story()
    for k in range(TAUGHT):
        story.label(k, value=bool(TRUTH[k]), who=f"annotator{k % 4}")
    return story


def test_labels_teach_what_no_weight_that_ships_knows(clean: Story) -> None:
    assert clean.auc_of_what_was_taught() > Story().auc_of_what_was_taught() + 0.1
    assert clean.auc_of_attacks() > Story().auc_of_attacks() - LIMIT


def test_a_fifth_of_the_labels_flipped_costs_attacks_nothing_and_keeps_most_of_what_was_taught(clean: Story) -> None:
    """More than half of what 500 labels say is gone with the flips. Measured: .919 without, .882 with them.

    That is 3.7 points: the two that flips may cost are kept on real unseen attacks (`evaluation/learning.py`),
    not where the weights that ship know nothing at all of what is taught.
    """
    learned = []
    for seed in range(4):
        flipped = np.random.default_rng(seed).random(TAUGHT) < 0.2
        poisoned = Story()
        for k in range(TAUGHT):
            poisoned.label(k, value=bool(TRUTH[k] ^ flipped[k]), who=f"annotator{k % 4}")
        learned.append(poisoned.auc_of_what_was_taught())
        assert poisoned.auc_of_attacks() > clean.auc_of_attacks() - LIMIT
    untaught = Story().auc_of_what_was_taught()
    assert np.mean(learned) - untaught > 0.7 * (clean.auc_of_what_was_taught() - untaught)


@pytest.mark.parametrize("source", ["user", "annotator"])
@pytest.mark.parametrize("lie", ["all true", "all false", "opposite"])
def test_one_user_with_five_hundred_false_labels_costs_less_than_two_points(
    clean: Story, lie: str, source: str
) -> None:
    """The liar's labels come among those of the others; some of them are of the same events."""
    poisoned = Story()
    for k in range(500):
        said = {"all true": True, "all false": False, "opposite": not TRUTH[k]}[lie]
        poisoned.label(k, value=bool(said), who="mallory", source=source)
        if k < TAUGHT:
            poisoned.label(k, value=bool(TRUTH[k]), who=f"annotator{k % 4}")
    assert poisoned.auc_of_what_was_taught() > clean.auc_of_what_was_taught() - LIMIT
    assert poisoned.auc_of_attacks() > clean.auc_of_attacks() - LIMIT


@pytest.mark.parametrize("source", ["user", "annotator"])
@pytest.mark.parametrize("honest_first", [False, True])
def test_one_user_alone_with_five_hundred_opposite_labels_leaves_attacks_attacks(
    source: str,
    honest_first: bool,  # noqa: FBT001, RUF100
) -> None:
    """Also where each label is taken back for its opposite after all were honest."""
    poisoned, before = Story(), Story().auc_of_attacks()
    attacks = [as_event({"text": text}, 20_000 + k) for k, text in enumerate(ATTACKS)]
    poisoned.agent.score(Chunk(attacks))
    given = [(e, True) for e in EVENTS[:452]] + [(e, False) for e in attacks]
    order = np.random.default_rng(6).permutation(len(given)).tolist()
    for truly, k in [*[(True, k) for k in order if honest_first], *[(False, k) for k in order]]:
        event, value = given[k]
        feedback = Feedback(
            feedback_id=f"p{k}{truly}", call_id=event.call_id, time=event.time, tenant=event.tenant, app=event.app,
            signal="injection", label=value ^ truly, source=source, user_id="mallory",
        )  # fmt: skip
        poisoned.give(feedback)
    assert poisoned.auc_of_attacks() > before - LIMIT

"""Cost of false labels on real texts, in AUC against the same labels without them.

The labels teach the injection agent something that the shipped weights do not know: that questions about anything but
the bank (the simulator's ``off_topic``) are attacks. The real attacks of the simulator must stay attacks.
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
    """An agent that has scored all texts and receives labels."""

    def __init__(self) -> None:
        self.agent = InjectionAgent(learning=LearningConfig(label_window_events=5000))
        self.agent.score(Chunk(EVENTS))
        self._given = 0

    def label(self, row: int, *, value: bool, who: str, source: str = "annotator") -> None:
        self._given += 1
        event = EVENTS[row]
        target = {"call_id": event.call_id, "time": event.time, "tenant": event.tenant, "app": event.app}
        label = {"signal": "injection", "label": value, "source": source, "user_id": who}
        self.give(Feedback.model_validate({"feedback_id": f"f{self._given}"} | target | label))

    def give(self, feedback: Feedback) -> None:
        """Give a label to the agent; labels of users beyond their daily budget are not learned."""
        before = self.agent.learner.counts.over_budget
        known = self.agent.learn(feedback)
        assert known or (feedback.source == "user" and self.agent.learner.counts.over_budget == before + 1)

    def margins(self, texts: list[str]) -> NDArray[np.float64]:
        events = [as_event({"text": text}, 10_000 + k) for k, text in enumerate(texts)]
        self.agent.score(Chunk(events))
        found = [self.agent.learner.label_buffer.get((e.tenant, e.app, e.call_id)) for e in events]
        return np.array([f.margin for f in found if f is not None])

    def auc_of_taught_texts(self) -> float:
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


def test_labels_teach_what_the_shipped_weights_miss(clean: Story) -> None:
    assert clean.auc_of_taught_texts() > Story().auc_of_taught_texts() + 0.1
    assert clean.auc_of_attacks() > Story().auc_of_attacks() - LIMIT


def test_flipping_a_fifth_of_the_labels_misses_no_attack_and_keeps_most_of_the_gain(clean: Story) -> None:
    """The flips remove more than half of the information in 500 labels. Measured: .919 without, .882 with them.

    The loss is 3.7 points. The limit of 2 points holds on real unseen attacks (`evaluation/learning.py`), but not where
    the shipped weights know nothing of what the labels teach.
    """
    learned = []
    for seed in range(4):
        flipped = np.random.default_rng(seed).random(TAUGHT) < 0.2
        poisoned = Story()
        for k in range(TAUGHT):
            poisoned.label(k, value=bool(TRUTH[k] ^ flipped[k]), who=f"annotator{k % 4}")
        learned.append(poisoned.auc_of_taught_texts())
        assert poisoned.auc_of_attacks() > clean.auc_of_attacks() - LIMIT
    untaught = Story().auc_of_taught_texts()
    assert np.mean(learned) - untaught > 0.7 * (clean.auc_of_taught_texts() - untaught)


@pytest.mark.parametrize("source", ["user", "annotator"])
@pytest.mark.parametrize("lie", ["all true", "all false", "opposite"])
def test_one_user_with_five_hundred_false_labels_costs_less_than_two_points(
    clean: Story, lie: str, source: str
) -> None:
    """The false labels are interleaved with honest ones; some are for the same events."""
    poisoned = Story()
    for k in range(500):
        value = {"all true": True, "all false": False, "opposite": not TRUTH[k]}[lie]
        poisoned.label(k, value=bool(value), who="mallory", source=source)
        if k < TAUGHT:
            poisoned.label(k, value=bool(TRUTH[k]), who=f"annotator{k % 4}")
    assert poisoned.auc_of_taught_texts() > clean.auc_of_taught_texts() - LIMIT
    assert poisoned.auc_of_attacks() > clean.auc_of_attacks() - LIMIT


@pytest.mark.parametrize("source", ["user", "annotator"])
@pytest.mark.parametrize("honest_first", [False, True])
def test_five_hundred_opposite_labels_of_one_user_do_not_hide_attacks(
    source: str,
    honest_first: bool,  # noqa: FBT001, RUF100
) -> None:
    """This also holds if each label is first honest and then replaced by its opposite."""
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

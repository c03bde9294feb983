"""The hallucination agent learns from labels in bounded steps and can be continued from its state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.base import Chunk, State
from agents.hallucination import HallucinationAgent
from agents.learning import LearningConfig
from evaluation.adapters.hallucination import as_event
from schemas.errors import StateError
from schemas.feedback import Feedback

ROWS = [
    {"context": "The bridge opened in 1932.", "question": "When?", "response": "The bridge opened in 1932."},
    {"context": "The bridge opened in 1932.", "question": "When?", "response": "It was shut by Napoleon in 1805."},
    {"context": "The bridge opened in 1932.", "question": "When?", "response": "Around that time, one supposes."},
]
EVENTS = [as_event(row, i) for i, row in enumerate(ROWS)]


def label(feedback_id: str, call: int, *, value: bool = True, **parts: Any) -> Feedback:
    given = {"tenant": "eval", "app": "eval", "signal": "hallucination"} | parts
    return Feedback(feedback_id=feedback_id, call_id=f"row-{call}", time="2026-01-01T00:00:00Z", label=value, **given)


@pytest.fixture
def agent() -> HallucinationAgent:
    made = HallucinationAgent()
    made.score(Chunk(EVENTS))
    return made


def flatten(state: State) -> str:
    with np.printoptions(threshold=1_000_000, floatmode="unique"):
        return repr(state)


def test_a_label_moves_the_score_its_way(agent: HallucinationAgent) -> None:
    before = agent.score(Chunk(EVENTS)).signals[2].score
    assert agent.learn(label("f1", 2, value=False))
    assert agent.score(Chunk(EVENTS)).signals[2].score < before


def test_the_same_feedback_counts_once(agent: HallucinationAgent) -> None:
    assert agent.learn(label("f1", 1))
    assert not agent.learn(label("f1", 1))
    assert agent.learn(label("f2", 1))


@pytest.mark.parametrize("parts", [{"tenant": "other"}, {"app": "other"}, {"signal": "injection"}])
def test_a_label_for_another_event_is_ignored(agent: HallucinationAgent, parts: dict[str, Any]) -> None:
    before = flatten(agent.learner.deltas.state())
    assert not agent.learn(label("f1", 1, **parts))
    assert flatten(agent.learner.deltas.state()) == before


def test_memory_is_bounded() -> None:
    agent = HallucinationAgent(learning=LearningConfig(label_window_events=1, requests_per_hour=0.0))
    agent.score(Chunk([as_event(ROWS[0], 7), EVENTS[0]]))
    assert not agent.learn(label("f1", 7))
    assert agent.learn(label("f2", 0))


def test_restored_it_continues_equal(agent: HallucinationAgent) -> None:
    agent.learn(label("f1", 1))
    other = HallucinationAgent()
    other.restore(agent.state())
    assert flatten(other.state()) == flatten(agent.state())
    assert not agent.learn(label("f1", 1))
    assert not other.learn(label("f1", 1))
    assert other.learn(label("f2", 2)) == agent.learn(label("f2", 2))
    assert other.score(Chunk(EVENTS)).signals == agent.score(Chunk(EVENTS)).signals
    assert flatten(other.state()) == flatten(agent.state())


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"features": []},
        {"learner": {}},
        {"rate": {}},
        {"config": {}},
        {"learner": None},
        {"thresholds": {}},
        {"answers": {"keys": np.zeros((1, 2)), "sketches": np.zeros((2, 16))}},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    agent: HallucinationAgent, wrong: dict[str, Any]
) -> None:
    before = flatten(agent.state())
    with pytest.raises(StateError) as raised:
        agent.restore({**agent.state(), **wrong})
    assert raised.value.part == "hallucination"
    with pytest.raises(StateError):
        agent.restore({})
    assert flatten(agent.state()) == before


def test_a_state_is_a_copy(agent: HallucinationAgent) -> None:
    state = agent.state()
    before = flatten(state)
    agent.learn(label("f1", 1))
    agent.score(Chunk(EVENTS[:1]))
    assert flatten(state) == before

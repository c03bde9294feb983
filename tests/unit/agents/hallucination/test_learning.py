"""Learning and state of the hallucination agent."""

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


def label(feedback_id: str, call: int, *, value: bool = True, **fields: Any) -> Feedback:
    fields = {"tenant": "eval", "app": "eval", "signal": "hallucination"} | fields
    return Feedback(feedback_id=feedback_id, call_id=f"row-{call}", time="2026-01-01T00:00:00Z", label=value, **fields)


@pytest.fixture
def agent() -> HallucinationAgent:
    agent = HallucinationAgent()
    agent.score(Chunk(EVENTS))
    return agent


def flatten(state: State) -> str:
    with np.printoptions(threshold=1_000_000, floatmode="unique"):
        return repr(state)


def test_a_negative_label_lowers_the_score(agent: HallucinationAgent) -> None:
    before = agent.score(Chunk(EVENTS)).signals[2].score
    assert agent.learn(label("f1", 2, value=False))
    assert agent.score(Chunk(EVENTS)).signals[2].score < before


def test_repeated_feedback_is_learned_once(agent: HallucinationAgent) -> None:
    assert agent.learn(label("f1", 1))
    assert not agent.learn(label("f1", 1))
    assert agent.learn(label("f2", 1))


@pytest.mark.parametrize("fields", [{"tenant": "other"}, {"app": "other"}, {"signal": "injection"}])
def test_a_label_for_another_event_is_ignored(agent: HallucinationAgent, fields: dict[str, Any]) -> None:
    before = flatten(agent.learner.deltas.state())
    assert not agent.learn(label("f1", 1, **fields))
    assert flatten(agent.learner.deltas.state()) == before


def test_the_number_of_buffered_events_is_bounded() -> None:
    agent = HallucinationAgent(learning=LearningConfig(label_window_events=1, requests_per_hour=0.0))
    agent.score(Chunk([as_event(ROWS[0], 7), EVENTS[0]]))
    assert not agent.learn(label("f1", 7))
    assert agent.learn(label("f2", 0))


def test_a_restored_agent_continues_with_equal_results(agent: HallucinationAgent) -> None:
    agent.learn(label("f1", 1))
    restored = HallucinationAgent()
    restored.restore(agent.state())
    assert flatten(restored.state()) == flatten(agent.state())
    assert not agent.learn(label("f1", 1))
    assert not restored.learn(label("f1", 1))
    assert restored.learn(label("f2", 2)) == agent.learn(label("f2", 2))
    assert restored.score(Chunk(EVENTS)).signals == agent.score(Chunk(EVENTS)).signals
    assert flatten(restored.state()) == flatten(agent.state())


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
def test_an_invalid_state_is_rejected_and_changes_nothing(agent: HallucinationAgent, wrong: dict[str, Any]) -> None:
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

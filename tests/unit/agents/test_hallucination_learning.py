"""The hallucination agent learns from labels in bounded steps and can be continued from its state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.base import Chunk, State
from agents.hallucination import HallucinationAgent, HallucinationConfig
from agents.hallucination.features import SUPPORT
from agents.hallucination.rows import as_event
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
    before = flatten(agent.state())
    assert not agent.learn(label("f1", 1, **parts))
    assert flatten(agent.state()) == before


def test_false_labels_cannot_turn_a_sign() -> None:
    agent = HallucinationAgent()
    agent.score(Chunk(EVENTS))
    for k in range(500):
        agent.learn(label(f"f{k}", k % 2, value=k % 2 == 0))
    weights = np.asarray(agent.state()["weights"])
    assert (weights[:SUPPORT] <= 0).all()
    assert (weights[SUPPORT:-1] >= 0).all()


def test_one_label_moves_no_weight_by_more_than_the_rate(agent: HallucinationAgent) -> None:
    before = np.asarray(agent.state()["weights"])
    agent.learn(label("f1", 1, value=False))
    assert np.abs(np.asarray(agent.state()["weights"]) - before).max() <= agent.config.rate


def test_memory_is_bounded() -> None:
    agent = HallucinationAgent(HallucinationConfig(memory=2))
    agent.score(Chunk(EVENTS))
    assert not agent.learn(label("f1", 0))
    assert agent.learn(label("f2", 1))


def test_restored_it_continues_equal(agent: HallucinationAgent) -> None:
    agent.learn(label("f1", 1))
    other = HallucinationAgent()
    other.restore(agent.state())
    assert flatten(other.state()) == flatten(agent.state())
    assert not other.learn(label("f1", 1))
    assert other.learn(label("f2", 2)) == agent.learn(label("f2", 2))
    assert other.score(Chunk(EVENTS)).signals == agent.score(Chunk(EVENTS)).signals
    assert flatten(other.state()) == flatten(agent.state())


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 1},
        {"thresholds": {}},
        {"answers": {"keys": np.zeros((1, 2)), "sketches": np.zeros((2, 16))}},
        {"weights": np.zeros(3)},
        {"features": []},
        {"memory": {}},
        {"rate": {}},
        {"config": {}},
        {"squares": None},
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    agent: HallucinationAgent, wrong: dict[str, Any]
) -> None:
    before = flatten(agent.state())
    with pytest.raises(StateError, match="hallucination"):
        agent.restore({**agent.state(), **wrong})
    with pytest.raises(StateError):
        agent.restore({})
    assert flatten(agent.state()) == before


def test_a_state_is_a_copy(agent: HallucinationAgent) -> None:
    state = agent.state()
    before = flatten(state)
    agent.learn(label("f1", 1))
    agent.score(Chunk(EVENTS[:1]))
    assert flatten(state) == before

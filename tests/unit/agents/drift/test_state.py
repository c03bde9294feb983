"""State of the drift agent: bounded, complete, independent of chunk boundaries."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.base import ChangePoint, Chunk, State
from agents.drift import DriftAgent, DriftConfig
from agents.drift.layout import BOOTSTRAP_ROWS, BOOTSTRAP_SLOTS, SEGMENT, empty_pool
from schemas.errors import StateError
from schemas.event import LLMEvent, Message
from schemas.feedback import Feedback

CONFIG = DriftConfig(reference_events=50, events_per_false_alarm=100, max_segments=5)
WORDS = ["account", "balance", "card", "transfer", "limit", "fee", "loan", "rate", "branch", "payment"]


def call(i: int, app: str, latency: float = 6.0) -> LLMEvent:
    rng = np.random.default_rng(i)
    return LLMEvent(
        event_id=f"e{i}",
        call_id=f"c{i}",
        time="2026-01-01T00:00:00Z",
        tenant="acme",
        app=app,
        prompt_version=f"v{i // 200}",
        latency_ms=float(rng.lognormal(latency, 0.3)),
        messages=(Message(role="user", content=" ".join(rng.choice(WORDS, 6))),),
    )


EVENTS = [call(i, "abcdefgh"[min(i * i % 11, 7)], 6.0 + i // 300) for i in range(900)]


def flatten(state: State) -> str:
    with np.printoptions(threshold=10_000_000, floatmode="unique"):
        return repr(state)


def play(agent: DriftAgent, boundaries: Iterable[int]) -> tuple[list[Any], list[ChangePoint]]:
    signals: list[Any] = []
    changes: list[ChangePoint] = []
    edges = [0, *sorted(boundaries), len(EVENTS)]
    for low, high in pairwise(edges):
        scores = agent.score(Chunk(EVENTS[low:high], np.arange(low, high, dtype=np.int64)))
        signals += scores.signals
        changes += [_shifted(c, low) for c in scores.changes]
    return signals, changes


def _shifted(change: ChangePoint, offset: int) -> ChangePoint:
    fields = {name: getattr(change, name) for name in ChangePoint.__slots__}
    return ChangePoint(**(fields | {"index": change.index + offset}))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(EVENTS)), max_size=40))
def test_signals_changes_and_state_do_not_depend_on_chunk_boundaries(boundaries: list[int]) -> None:
    whole, parts = DriftAgent(CONFIG), DriftAgent(CONFIG)
    expected = play(whole, [])
    assert expected[1]
    assert play(parts, boundaries) == expected
    assert flatten(parts.state()) == flatten(whole.state())


def test_a_larger_capacity_for_bootstrap_rows_changes_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DriftConfig(reference_events=50)
    exact = DriftAgent(config)
    monkeypatch.setattr("agents.drift.agent.bootstrap_rows", lambda _: BOOTSTRAP_ROWS)
    larger = DriftAgent(config)
    for agent in (exact, larger):
        agent.score(Chunk([call(i, "a") for i in range(130)]))
    assert exact.segments.rows[0]["calibrated"] == 1
    assert larger.segments.rows.tobytes() == exact.segments.rows.tobytes()


@pytest.mark.parametrize("n", [0, 30, 400, 700])
def test_a_restored_agent_continues_with_equal_results(n: int) -> None:
    agent, restored = DriftAgent(CONFIG), DriftAgent(CONFIG)
    agent.score(Chunk(EVENTS[:n]))
    restored.restore(agent.state())
    assert flatten(restored.state()) == flatten(agent.state())
    assert restored.score(Chunk(EVENTS[n:])) == agent.score(Chunk(EVENTS[n:]))
    assert flatten(restored.state()) == flatten(agent.state())


def test_a_state_is_a_copy() -> None:
    agent = DriftAgent(CONFIG)
    agent.score(Chunk(EVENTS[:300]))
    state = agent.state()
    before = flatten(state)
    agent.score(Chunk(EVENTS[300:]))
    assert flatten(state) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 1},
        {"config": {}},
        {"signals": []},
        {"segments": {}},
        {"segments": None},
        {"segments": {"columns": {}}},
        {"segments": {"row": [0, 0, 0, 0, 0]}},
        {"segments": {"recent": []}},
        {"segments": {"flagged": []}},
        {"segments": {"flagged": [[[], []]] * 5}},
        {"segments": {"pool": {}}},
        {"segments": {"keys": [["a", "b"]] * 5}},
    ],
)
def test_an_invalid_state_is_rejected_and_changes_nothing(wrong: dict[str, Any]) -> None:
    agent = DriftAgent(CONFIG)
    agent.score(Chunk(EVENTS[:300]))
    state: dict[str, Any] = dict(agent.state())
    before = flatten(state)
    if wrong.get("segments"):
        wrong = {"segments": state["segments"] | wrong["segments"]}
    for bad in ({**state, **wrong}, {}):
        with pytest.raises(StateError) as raised:
            agent.restore(bad)
        assert raised.value.part == "drift"
    assert flatten(agent.state()) == before


def test_a_column_of_another_shape_is_rejected() -> None:
    agent = DriftAgent(CONFIG)
    agent.score(Chunk(EVENTS[:300]))
    state: dict[str, Any] = dict(agent.state())
    columns = state["segments"]["columns"] | {"mean": np.zeros((5, 2))}
    with pytest.raises(StateError, match="mean"):
        agent.restore({**state, "segments": state["segments"] | {"columns": columns}})


def test_the_least_recently_seen_app_is_evicted_and_counted() -> None:
    agent = DriftAgent(DriftConfig(reference_events=50, max_segments=2))
    for app in "abacad":
        agent.score(Chunk([call(i, app) for i in range(60)]))
    assert (len(agent.segments), agent.segments.evicted) == (2, 2)
    assert not agent.score(Chunk([call(1, "a")])).signals[0].learning
    assert agent.score(Chunk([call(1, "b")])).signals[0].learning


def test_a_record_has_at_most_10_kib_and_the_pool_17_mb_for_any_number_of_apps() -> None:
    agent = DriftAgent(DriftConfig(max_segments=100))
    event = call(0, "a")
    for k in range(0, 100_000, 1000):
        agent.score(Chunk([event.model_copy(update={"app": f"app{i}"}) for i in range(k, k + 1000)]))
    assert SEGMENT.itemsize <= 10_240
    assert sum(column.nbytes for column in empty_pool(BOOTSTRAP_SLOTS)) <= 17_500_000
    assert len(agent.segments.pool.used) == 100
    assert len(agent.segments) <= len(agent.segments.rows) == 100
    assert agent.segments.evicted == 100_000 - len(agent.segments)


def test_labels_are_not_learned() -> None:
    agent = DriftAgent()
    label = Feedback(
        feedback_id="f",
        call_id="c1",
        time="2026-01-01T00:00:00Z",
        label=True,
        tenant="acme",
        app="a",
        signal="injection",
    )
    assert agent.learn(label) is False

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.aggregates import Aggregator, SegmentWindow
from agents.base import Chunk
from agents.clock import ALONE, BELIEVED
from agents.histogram import bucket, quantile, value_of
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.outputs import Aggregate
from tests.traffic import events


class Said(NamedTuple):
    flag: bool
    grounding: float | None = None


def event(second: int, **more: Any) -> LLMEvent:
    at = f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    base = {"event_id": f"e{second}", "call_id": "c", "tenant": "t", "app": "a", "time": at}
    return LLMEvent.model_validate(base | more)


def test_a_window_counts_what_fell_into_it() -> None:
    aggregator = Aggregator(0, 3)
    usage = {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 2, "reasoning_tokens": 1}
    said = [{"content": "I'm sorry, but I cannot help with that."}]
    chunk = Chunk(
        [
            event(1, usage=usage, cost_usd=0.1, latency_ms=100, ttft_ms=10, choices=said),
            event(2, cost_usd=0.2, latency_ms=100, error={"type": "timeout"}),
        ],
        np.array([7, 9]),
    )
    signals: dict[str, list[Said | None]] = {
        "injection": [Said(flag=True), None],
        "hallucination": [Said(True, 0.99), Said(False)],
    }
    assert aggregator.add(chunk, signals) == []
    (row,) = aggregator.dirty()
    window = Aggregate.model_validate_json(Aggregate.model_validate(row).model_dump_json())
    assert (window.events, window.errors, window.refusals, window.version, window.source_partition) == (2, 1, 1, 9, 3)
    assert (window.input_tokens, window.cached_tokens, window.cost_nanousd) == (10, 2, 300_000_000)
    assert (window.injection_flags, window.hallucination_flags, window.grounded) == (1, 1, 1)
    assert (window.latency_ms, window.grounding) == ({bucket(100): 2}, {19: 1})
    assert list(aggregator.dirty()) == []


def test_a_window_closes_when_time_is_past_its_end_and_the_lateness() -> None:
    aggregator = Aggregator(60_000, 0)
    assert aggregator.add(Chunk([*[event(5)] * BELIEVED, event(60), event(119)]), {}) == []
    (closed,) = aggregator.add(Chunk([event(120)]), {})
    row = closed.row()
    assert (row["window_start"], row["events"]) == ("2026-01-01T00:00:00Z", BELIEVED)
    aggregator.add(Chunk([event(6)]), {})
    assert aggregator.late == 1


def test_an_event_from_the_far_future_closes_nothing() -> None:
    aggregator = Aggregator(0, 0)
    far = LLMEvent.model_validate(event(6).model_dump() | {"time": "2190-01-01T00:00:00Z"})
    assert aggregator.add(Chunk([*[event(5)] * BELIEVED, far]), {}) == []
    aggregator.add(Chunk([event(7)]), {})
    assert aggregator.late == 0


@pytest.mark.parametrize("in_a_row", [1, 40, 200])
def test_a_host_with_a_wrong_clock_makes_nobody_late(in_a_row: int) -> None:
    aggregator = Aggregator(60_000, 0)
    for k in range(300):
        wrong = [event(3600 + k, app="other")] * in_a_row if k and k % in_a_row == 0 else []
        aggregator.add(Chunk([*wrong, *[event(k)] * 3]), {})
    assert aggregator.late == 0


@pytest.mark.parametrize("pause_s", [3600, 5 * 86_400])
def test_a_stream_that_goes_on_after_a_pause_is_followed(pause_s: int) -> None:
    aggregator = Aggregator(60_000, 0)
    aggregator.add(Chunk([event(5)] * BELIEVED), {})
    later = [event(k) for k in range(ALONE)]
    closed = aggregator.add(
        Chunk([e.model_copy(update={"time": e.time + timedelta(seconds=pause_s)}) for e in later]), {}
    )
    assert [row.row()["window_start"] for row in closed] == ["2026-01-01T00:00:00Z"]


def test_open_windows_are_bounded() -> None:
    aggregator = Aggregator(10**9, 0, windows_max=3)
    closed = aggregator.add(Chunk([event(60 * i) for i in range(10)]), {})
    assert (len(closed), aggregator.evicted, len(list(aggregator.dirty(force=True)))) == (7, 7, 3)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 7))
def test_chunks_and_restores_do_not_matter(cuts: list[int], restart: int) -> None:
    calls = [LLMEvent.model_validate(e | {"kind": "call"}) for e in events(200, step_ms=2000)]
    whole = Aggregator(30_000, 0)
    expected = [w.row() for w in whole.add(Chunk(calls), {})] + list(whole.dirty(force=True))
    pieces = Aggregator(30_000, 0)
    got: list[tuple[SegmentWindow, dict[str, Any]]] = []
    at, turn = 0, 0
    while at < len(calls):
        size = cuts[turn % len(cuts)]
        closed = pieces.add(Chunk(calls[at : at + size], np.arange(at, min(at + size, len(calls)))), {})
        got += [(window, window.row()) for window in closed]
        at, turn = at + size, turn + 1
        if turn == restart:
            state, pieces = pieces.state(), Aggregator(30_000, 0)
            pieces.restore(state)
    assert [row for _, row in got] + list(pieces.dirty(force=True)) == expected
    assert all(window.row() == row for window, row in got)


def test_a_state_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StateError):
        Aggregator(0, 0).restore({"windows": 1})


@given(st.floats(1.0001, 1e12))
def test_a_bucket_stands_for_its_values_within_two_percent(value: float) -> None:
    assert abs(value_of(bucket(value)) - value) <= 0.0201 * value


@given(st.lists(st.floats(2, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_are_within_two_percent(values: list[float], q: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    exact = float(np.quantile(values, q, method="lower"))
    assert abs(quantile(counts, q) - exact) <= 0.0201 * exact

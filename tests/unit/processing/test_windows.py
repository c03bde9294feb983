from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import Chunk, event_time_ms
from agents.common.ddsketch import bucket, bucket_value, quantile
from agents.common.tenant_map import OTHER
from agents.common.window_counts import WindowRow
from processing.windows import IDLE_MS, Aggregator
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.outputs import Aggregate
from tests.timing import Timed, moved
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
    (row,) = aggregator.updated_windows()
    window = Aggregate.model_validate_json(Aggregate.model_validate(row).model_dump_json())
    assert (window.events, window.errors, window.refusals, window.version, window.source_partition) == (2, 1, 1, 9, 3)
    assert (window.input_tokens, window.cached_tokens, window.cost_nanousd) == (10, 2, 300_000_000)
    assert (window.injection_flags, window.hallucination_flags, window.grounded) == (1, 1, 1)
    assert (window.latency_ms, window.grounding) == ({bucket(100): 2}, {19: 1})
    assert list(aggregator.updated_windows()) == []


def starts(closed: list[WindowRow]) -> list[str]:
    return [window.row()["window_start"][11:16] for window in closed]


def test_a_window_closes_when_time_is_past_its_end_and_the_lateness() -> None:
    aggregator, timed = Aggregator(60_000, 0), Timed()
    assert aggregator.add(timed.chunk([*[event(5)] * 7, event(60), event(119)]), {}) == []
    (closed,) = aggregator.add(timed.chunk([event(120)]), {})
    row = closed.row()
    assert (row["window_start"], row["events"]) == ("2026-01-01T00:00:00Z", 7)
    aggregator.add(timed.chunk([event(6)]), {})
    assert aggregator.late == 1


@pytest.mark.parametrize("first", [True, False])
def test_an_event_from_the_far_future_is_counted_at_the_brokers_time_and_closes_nothing(first: bool) -> None:
    aggregator, timed = Aggregator(0, 0), Timed()
    far = LLMEvent.model_validate(event(6).model_dump() | {"time": "2190-01-01T00:00:00Z"})
    calls = [*[event(5)] * 40, *[far] * 500][:: -1 if first else 1]
    # History that is replayed: the broker's time is an hour later.
    broker = [event_time_ms(event(3605))] * len(calls)
    assert aggregator.add(timed.chunk(calls, broker), {}) == []
    aggregator.add(timed.chunk([event(7)], broker[:1]), {})
    assert aggregator.late == 0
    counted = {row["window_start"][11:16]: row["events"] for row in aggregator.updated_windows()}
    assert counted == {"00:00": 41, "01:00": 500}


@pytest.mark.parametrize(("app", "ahead_s"), [("other", 3600), ("a", 250)])
@pytest.mark.parametrize("in_a_row", [1, 40, 200])
def test_a_host_with_a_wrong_clock_makes_nobody_late(in_a_row: int, app: str, ahead_s: int) -> None:
    """Of another scope, or of the same where the broker's time is known."""
    aggregator, timed = Aggregator(0, 0), Timed()
    for k in range(300):
        wrong = [event(ahead_s + k, app=app)] * in_a_row if k and k % in_a_row == 0 else []
        calls = [*wrong, *[event(k)] * 3]
        aggregator.add(timed.chunk(calls, [event_time_ms(event(k))] * len(calls) if app == "a" else None), {})
    assert aggregator.late == 0


@pytest.mark.parametrize("pause_s", [3600, 5 * 86_400])
def test_a_stream_that_goes_on_after_a_pause_is_followed(pause_s: int) -> None:
    aggregator, timed = Aggregator(60_000, 0), Timed()
    aggregator.add(timed.chunk([event(5)]), {})
    closed = aggregator.add(timed.chunk([moved(event(k), pause_s) for k in range(3)]), {})
    assert starts(closed) == ["00:00"]


def test_history_that_is_replayed_beside_another_scope_is_counted() -> None:
    aggregator, timed = Aggregator(60_000, 0), Timed()
    broker = event_time_ms(moved(event(0), 30 * 86_400))
    for k in range(0, 3600, 60):
        live = moved(event(k, app="live"), 30 * 86_400)
        aggregator.add(timed.chunk([live, event(k)], [broker + 1000 * k] * 2), {})
    assert aggregator.late == 0


def counted(aggregator: Aggregator, closed: list[WindowRow]) -> list[dict[str, Any]]:
    return [window.row() for window in closed] + list(aggregator.updated_windows(force=True))


def test_open_windows_are_bounded_and_every_event_is_counted_once() -> None:
    aggregator = Aggregator(10**9, 0, windows_max=50)
    calls = [event(1, app=f"app{k % 30}", prompt_version=f"v{k % 7}", cost_usd=0.001) for k in range(2000)]
    rows = counted(aggregator, aggregator.add(Chunk(calls), {}))
    assert len(rows) <= 50
    assert (sum(row["events"] for row in rows), sum(row["cost_nanousd"] for row in rows)) == (2000, 2_000_000_000)
    assert aggregator.late == 0
    assert aggregator.overflow == sum(row["events"] for row in rows if OTHER in row.values()) > 0


def test_versions_beyond_the_bound_of_a_scope_are_counted_as_other() -> None:
    aggregator = Aggregator(10**9, 0, scope_windows_max=20)
    aggregator.add(Chunk([event(1, app="calm")]), {})
    versions = [event(60 * (k % 3), app="wild", prompt_version=f"v{k}") for k in range(300)]
    assert aggregator.add(Chunk(versions), {}) == []
    rows = counted(aggregator, aggregator.add(Chunk([event(2, app="calm")]), {}))
    assert {row["app"]: sum(r["events"] for r in rows if r["app"] == row["app"]) for row in rows} == {
        "calm": 2,
        "wild": 300,
    }
    other = [row for row in rows if row["prompt_version"] == OTHER]
    assert (len(rows), sum(row["events"] for row in other)) == (1 + 20 + 3, 280)


def test_scopes_beyond_those_that_may_begin_in_a_minute_are_counted_as_other() -> None:
    aggregator = Aggregator(10**9, 0, new_scopes_max=10)
    calls = [event(k // 50, tenant=f"tenant{k}") for k in range(100)] + [event(60, tenant="late")]
    rows = counted(aggregator, aggregator.add(Chunk(calls), {}))
    assert {row["tenant"]: row["events"] for row in rows if row["events"] > 1} == {OTHER: 90}
    assert len(rows) == 10 + 1 + 1


def test_a_scope_that_falls_silent_is_closed_and_what_it_counted_never_changes() -> None:
    aggregator, timed, begin = Aggregator(60_000, 0), Timed(), event_time_ms(event(0))
    aggregator.add(timed.chunk([event(5), event(65)], [begin, begin]), {})
    other = [event(5, app="other")]
    assert aggregator.add(timed.chunk(other, [begin + IDLE_MS - 1]), {}) == []
    assert starts(aggregator.add(timed.chunk(other, [begin + IDLE_MS]), {})) == ["00:00", "00:01"]
    restored = Aggregator(60_000, 0)
    restored.restore(aggregator.state())
    for each in (aggregator, restored):
        # It sends what it could not send meanwhile.
        each.add(timed.chunk([event(k) for k in (66, 125, 185)], [begin + 2 * IDLE_MS] * 3), {})
        mine = {
            row["window_start"][11:16]: row["events"] for row in each.updated_windows(force=True) if row["app"] == "a"
        }
        assert (each.late, mine) == (1, {"00:02": 1, "00:03": 1})


def test_scopes_are_bounded_and_what_was_closed_stays_closed() -> None:
    aggregator = Aggregator(60_000, 0, scopes_max=4)
    closed = aggregator.add(Chunk([event(1, app=f"app{k}") for k in range(10)]), {})
    assert [window.segment.app for window in closed] == [f"app{k}" for k in range(6)]
    aggregator.add(Chunk([event(2, app="app5"), event(61, app="app5")]), {})
    assert aggregator.late == 1


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 7))
def test_chunks_and_restores_do_not_matter(cuts: list[int], restart: int) -> None:
    calls = [LLMEvent.model_validate(e | {"kind": "call"}) for e in events(200, step_ms=2000)]
    whole = Aggregator(30_000, 0)
    expected = [w.row() for w in whole.add(Chunk(calls), {})] + list(whole.updated_windows(force=True))
    pieces = Aggregator(30_000, 0)
    got: list[tuple[WindowRow, dict[str, Any]]] = []
    at, turn = 0, 0
    while at < len(calls):
        size = cuts[turn % len(cuts)]
        closed = pieces.add(Chunk(calls[at : at + size], np.arange(at, min(at + size, len(calls)))), {})
        got += [(window, window.row()) for window in closed]
        at, turn = at + size, turn + 1
        if turn == restart:
            state, pieces = pieces.state(), Aggregator(30_000, 0)
            pieces.restore(state)
    assert [row for _, row in got] + list(pieces.updated_windows(force=True)) == expected
    assert all(window.row() == row for window, row in got)


def test_a_state_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StateError):
        Aggregator(0, 0).restore({"windows": 1})


@given(st.floats(1.0001, 1e12))
def test_a_bucket_stands_for_its_values_within_two_percent(value: float) -> None:
    assert abs(bucket_value(bucket(value)) - value) <= 0.0201 * value


@given(st.lists(st.floats(2, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_are_within_two_percent(values: list[float], q: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    exact = float(np.quantile(values, q, method="lower"))
    assert abs(quantile(counts, q) - exact) <= 0.0201 * exact

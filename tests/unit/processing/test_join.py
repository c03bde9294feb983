from __future__ import annotations

from typing import Any

import pytest

from agents.base import event_time_ms
from agents.common.watermark import EventTime, bounded_time
from processing.join import Joiner
from schemas.errors import StateError
from schemas.event import LLMEvent


def half(kind: str, call: str, second: int = 0, **more: Any) -> LLMEvent:
    base = {"event_id": f"{call}-{kind}", "call_id": call, "tenant": "t", "app": "a", "kind": kind}
    return LLMEvent.model_validate(base | {"time": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"} | more)


REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "q"}], "tags": {"x": "1"}, "novel": 1}
RESPONSE: dict[str, Any] = {"choices": [{"content": "r"}], "tags": {"y": "2"}, "cost_usd": 0.5}


@pytest.mark.parametrize("order", [0, 1])
def test_halves_join_in_either_order(order: int) -> None:
    joiner = Joiner(10, 60_000)
    halves = [half("request", "c", 0, **REQUEST), half("response", "c", 2, **RESPONSE)]
    assert joiner.add(halves[order]) == []
    (call,) = joiner.add(halves[1 - order])
    assert (call.kind, call.event_id, call.text("user"), call.text("response")) == ("call", "c", "q", "r")
    assert (call.latency_ms, call.cost_usd, call.tags) == (2000.0, 0.5, {"x": "1", "y": "2"})
    assert call.model_extra == {"novel": 1}
    assert call.time == halves[0].time
    assert joiner.pending == 0


def test_a_joined_call_is_a_valid_event() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(half("request", "c", 0, **REQUEST))
    (call,) = joiner.add(half("response", "c", 2, **RESPONSE))
    assert LLMEvent.model_validate_json(call.model_dump_json(exclude_unset=True)).text("response") == "r"


def test_a_half_whose_other_half_does_not_come_is_given_up_in_event_time() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(half("request", "c", 0, **REQUEST))
    assert joiner.add(half("call", "other", 59)) == [half("call", "other", 59)]
    given_up, whole = joiner.add(half("call", "other", 60))
    assert (given_up.kind, given_up.call_id, whole.call_id) == ("request", "c", "other")
    assert joiner.counts.unmatched == 1
    assert [e.kind for e in joiner.add(half("response", "c", 61, **RESPONSE))] == ["response"]
    assert joiner.counts.late == 1


@pytest.mark.parametrize("kind", ["call", "request"])
def test_an_event_of_the_far_future_neither_ends_the_waiting_nor_lets_halves_wait_for_ever(kind: str) -> None:
    joiner = Joiner(10, 60_000)

    def add(event: LLMEvent) -> list[str]:
        broker = event_time_ms(event if event.call_id != "far" else half("call", "far", 2))
        return [e.call_id for e in joiner.add(event, bounded_time(event_time_ms(event), broker, 300_000))]

    add(half("request", "c", 0, **REQUEST))
    far = half(kind, "far")
    out = add(far.model_copy(update={"time": far.time.replace(year=2126)}))
    assert out == (["far"] if kind == "call" else [])
    add(half("request", "d", 1, **REQUEST))
    given_up = ["c", "d"] if kind == "call" else ["c", "d", "far"]
    assert add(half("call", "other", 61)) == [*given_up, "other"]


def test_no_scope_ends_the_waiting_of_another_but_by_the_brokers_time() -> None:
    joiner, begin = Joiner(10, 60_000), event_time_ms(half("call", "c"))

    def add(event: LLMEvent, broker: int) -> list[str]:
        return [
            e.call_id for e in joiner.add(event, bounded_time(event_time_ms(event), broker and begin + broker, 300_000))
        ]

    add(half("request", "c", 0, **REQUEST), 0)
    add(half("request", "d", 0, **REQUEST), 1_000)
    ahead = half("call", "other", 3_000, app="other")
    assert add(ahead, 60_999) == ["other"]
    assert add(ahead, 61_000) == ["d", "other"]
    assert joiner.pending == 1
    again = Joiner(10, 60_000)
    again.restore(joiner.state())
    assert [e.call_id for e in again.add(half("call", "mine", 60))] == ["c", "mine"]


def test_halves_further_apart_than_any_call_lasts_have_no_latency() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(half("request", "c", 0, **REQUEST))
    response = half("response", "c", 1, **RESPONSE)
    (call,) = joiner.add(response.model_copy(update={"time": response.time.replace(year=2126)}), EventTime(0, 0, 0))
    assert call.latency_ms is None


def test_memory_is_bounded_by_count_and_by_bytes() -> None:
    joiner = Joiner(3, 60_000)
    out = [e.call_id for i in range(10) for e in joiner.add(half("request", f"c{i}"))]
    assert (joiner.pending, out) == (3, [f"c{i}" for i in range(7)])
    heavy = Joiner(1000, 60_000, pending_bytes=20_000)
    for i in range(10):
        heavy.add(half("request", f"c{i}", messages=[{"role": "user", "content": "x" * 4000}]))
    assert 2 <= heavy.pending <= 3


def test_the_same_half_twice_counts_once() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(half("request", "c"))
    assert joiner.add(half("request", "c")) == []
    assert joiner.counts.duplicates == 1


def test_a_restored_joiner_goes_on() -> None:
    joiner = Joiner(10, 60_000)
    joiner.add(half("request", "c", 0, **REQUEST))
    again = Joiner(10, 60_000)
    again.restore(joiner.state())
    assert again.add(half("response", "c", 1, **RESPONSE)) == joiner.add(half("response", "c", 1, **RESPONSE))
    assert again.state() == joiner.state()


def test_a_state_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StateError):
        Joiner(10, 60_000).restore({"waiting": 3})

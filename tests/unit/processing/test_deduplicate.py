from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.deduplicate import Deduplicator
from schemas.errors import StateError
from schemas.event import LLMEvent


def event(number: int = 0, **more: Any) -> tuple[LLMEvent, bytes]:
    base = {"event_id": f"e{number}", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}
    raw = orjson.dumps(base | more)
    return LLMEvent.model_validate_json(raw), raw


@given(st.lists(st.integers(0, 12), max_size=80), st.integers(1, 8))
def test_it_knows_exactly_the_last_different_events(numbers: list[int], size: int) -> None:
    repeats, last = Deduplicator(size), list[int]()
    for number in numbers:
        assert repeats.is_duplicate(*event(number)) == (number in last)
        if number not in last:
            last = [*last, number][-size:]


@pytest.mark.parametrize(
    "change",
    [{"tenant": "u"}, {"app": "b"}, {"time": "2026-01-01T00:00:01Z"}, {"kind": "request"}, {"event_id": "other"}],
)
def test_what_differs_in_a_part_of_its_identity_is_another_event(change: dict[str, Any]) -> None:
    repeats = Deduplicator(10)
    assert not repeats.is_duplicate(*event())
    assert not repeats.is_duplicate(*event(**change))


def test_parts_of_an_identity_do_not_run_into_each_other() -> None:
    repeats = Deduplicator(10)
    assert not repeats.is_duplicate(*event(tenant="ab", app="c"))
    assert not repeats.is_duplicate(*event(tenant="a", app="bc"))


def test_parts_of_a_call_are_told_apart_by_their_bytes() -> None:
    repeats = Deduplicator(10)
    asked: dict[str, Any] = {
        "kind": "fragment",
        "fragments": ["messages"],
        "messages": [{"role": "user", "content": "one"}],
    }
    assert not repeats.is_duplicate(*event(**asked))
    assert not repeats.is_duplicate(*event(**asked | {"messages": [{"role": "user", "content": "two"}]}))
    assert repeats.is_duplicate(*event(**asked))


def test_one_of_size_zero_takes_every_event_for_new() -> None:
    repeats = Deduplicator(0)
    assert not any(repeats.is_duplicate(*event()) for _ in range(3))


@given(st.lists(st.integers(0, 12), max_size=40), st.lists(st.integers(0, 12), max_size=40), st.integers(1, 8))
def test_a_restored_one_goes_on(before: list[int], after: list[int], size: int) -> None:
    first, second = Deduplicator(size), Deduplicator(size)
    for number in before:
        first.is_duplicate(*event(number))
    second.restore(first.state())
    assert [first.is_duplicate(*event(n)) for n in after] == [second.is_duplicate(*event(n)) for n in after]
    ours, theirs = first.state(), second.state()
    assert (ours["dropped"], bytes(ours["names"].data)) == (theirs["dropped"], bytes(theirs["names"].data))  # type: ignore[union-attr]


def test_a_smaller_one_restores_the_newest() -> None:
    large, small = Deduplicator(10), Deduplicator(2)
    for number in range(6):
        large.is_duplicate(*event(number))
    small.restore(large.state())
    assert [small.is_duplicate(*event(n)) for n in (5, 4, 0)] == [True, True, False]


@pytest.mark.parametrize(
    "state", [{}, {"names": 3, "dropped": 0}, {"names": np.zeros(2), "dropped": 0}, {"names": np.zeros(0, np.uint64)}]
)
def test_a_state_that_does_not_fit_is_an_error(state: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        Deduplicator(3).restore(state)

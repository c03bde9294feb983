from __future__ import annotations

from itertools import chain, repeat

from hypothesis import given
from hypothesis import strategies as st

from agents.clock import ALONE, BELIEVED, StreamClock

STEP = 1_000
BEGIN = 1_000_000_000_000
TIMES = st.lists(
    st.tuples(st.one_of(st.integers(0, 3 * STEP), st.integers(0, 40 * STEP)), st.sampled_from(["a", "b"])), max_size=150
)


def settled() -> StreamClock:
    clock = StreamClock(STEP, ALONE)
    clock.advance(BEGIN)
    return clock


@given(TIMES, st.integers(0, 20), st.integers(0, 150))
def test_time_never_goes_back_nor_beyond_the_latest_event_and_a_state_continues_it(
    events: list[tuple[int, str]], doubted: int, cut: int
) -> None:
    # Everything is said several times in a row, so that much is believed.
    said = list(chain.from_iterable(repeat((BEGIN + at, whose), BELIEVED // 2) for at, whose in events))
    whole = StreamClock(STEP, ALONE, doubted)
    times = [whole.advance(*event) for event in said]
    assert times == sorted(times)
    assert all(now <= max(at for at, _ in said[: k + 1]) for k, now in enumerate(times))
    pieces = StreamClock(STEP, ALONE, doubted)
    found = [pieces.advance(*event) for event in said[:cut]]
    again = StreamClock(STEP, ALONE)
    again.restore(pieces.state())
    assert found + [again.advance(*event) for event in said[cut:]] == times


def test_one_application_is_believed_later_than_several() -> None:
    alone, several = settled(), settled()
    ahead = BEGIN + 60 * STEP
    for k in range(BELIEVED - 1):
        assert (alone.advance(ahead, "a"), several.advance(ahead, "ab"[k % 2])) == (BEGIN, BEGIN)
    assert (alone.advance(ahead, "a"), several.advance(ahead, "b")) == (BEGIN, ahead)
    for _ in range(ALONE - BELIEVED - 1):
        assert alone.advance(ahead, "a") == BEGIN
    assert alone.advance(ahead, "a") == ahead


def test_each_event_that_is_not_ahead_takes_one_away() -> None:
    clock = settled()
    for _ in range(20):
        for whose in "ab" * (BELIEVED // 2 - 1):
            clock.advance(BEGIN + 60 * STEP, whose)
        assert clock.ahead == BELIEVED - 2
        for _ in range(BELIEVED - 2):
            clock.advance(BEGIN, "c")
    assert (clock.now, clock.ahead) == (BEGIN, 0)


def test_the_first_events_begin_it_with_their_earliest() -> None:
    clock = StreamClock(STEP, doubted=3)
    assert [clock.advance(BEGIN + at) for at in (9_000_000, 5, 7)] == [0, 0, BEGIN + 5]

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RequestError
from streams.ingest.api_keys import ANONYMOUS, Quota, Sender
from streams.ingest.quota import Quotas


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sender(**quota: float) -> Sender:
    return Sender("k", "acme", frozenset(), Quota.model_validate(quota))


def refused(quotas: Quotas, who: Sender, events: int, size: int = 0) -> RequestError:
    with pytest.raises(RequestError) as raised:
        quotas.charge(who, events, size)
    assert raised.value.status == 429
    assert raised.value.retry_after_s is not None
    return raised.value


def test_a_burst_passes_and_what_is_beyond_it_waits_as_long_as_it_is_told() -> None:
    clock = Clock()
    quotas, who = Quotas(clock), sender(events_per_s=10, burst_s=2)
    quotas.charge(who, 20, 10**9)
    error = refused(quotas, who, 5)
    assert error.retry_after_s == pytest.approx(0.5)
    assert error.reason == "quota events_per_s"
    clock.now = 0.49
    refused(quotas, who, 5)
    clock.now = 0.5
    quotas.charge(who, 5, 0)


def test_bytes_are_counted_beside_events() -> None:
    quotas, who = Quotas(Clock()), sender(events_per_s=100, bytes_per_s=1000, burst_s=1)
    quotas.charge(who, 1, 900)
    assert refused(quotas, who, 1, 200).reason == "quota bytes_per_s"
    quotas.charge(who, 99, 100)  # the refused request took no events


def test_what_is_larger_than_a_burst_passes_alone_and_is_paid_for() -> None:
    clock = Clock()
    quotas, who = Quotas(clock), sender(events_per_s=10, burst_s=1)
    quotas.charge(who, 100, 0)
    assert refused(quotas, who, 0).retry_after_s == pytest.approx(9)
    clock.now = 10
    quotas.charge(who, 10, 0)


def test_requests_under_way_count_as_an_event_each_before_their_bodies_are_read() -> None:
    quotas, who = Quotas(Clock()), sender(events_per_s=1, burst_s=3)
    for others in range(3):
        quotas.check(who, 0, others)
    with pytest.raises(RequestError) as raised:
        quotas.check(who, 0, 3)
    assert raised.value.status == 429
    assert raised.value.retry_after_s == pytest.approx(1)


def test_whoever_was_told_to_wait_is_refused_unread_until_then() -> None:
    clock = Clock()
    quotas, who = Quotas(clock), sender(events_per_s=10, burst_s=2)
    quotas.charge(who, 10, 0)
    assert refused(quotas, who, 15).retry_after_s == pytest.approx(0.5)
    clock.now = 0.4
    with pytest.raises(RequestError) as raised:
        quotas.check(who, 0, 0)
    assert raised.value.retry_after_s == pytest.approx(0.1)
    clock.now = 0.5
    quotas.check(who, 0, 0)


def test_a_changed_quota_holds_at_once() -> None:
    quotas = Quotas(Clock())
    quotas.charge(sender(events_per_s=1, burst_s=1), 1, 0)
    refused(quotas, sender(events_per_s=1, burst_s=1), 1)
    quotas.charge(sender(events_per_s=5, burst_s=1), 5, 0)
    assert refused(quotas, sender(events_per_s=5, burst_s=1), 1).retry_after_s == pytest.approx(0.2)


def test_who_has_no_quota_may_send_anything() -> None:
    quotas = Quotas(Clock())
    for _ in range(3):
        quotas.charge(ANONYMOUS, 10**9, 10**12)
    assert not ANONYMOUS.quota.model_dump(include={"events_per_s", "bytes_per_s"}, exclude_none=True)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5000), st.floats(0, 3)), min_size=1, max_size=40),
    st.integers(1, 20),
    st.integers(1, 2000),
)
def test_whoever_waits_as_told_is_let_in_and_nobody_sends_more_than_the_quota(
    asked: list[tuple[int, int, float]], events_per_s: int, bytes_per_s: int
) -> None:
    clock, burst_s = Clock(), 2.0
    quotas, who = Quotas(clock), sender(events_per_s=events_per_s, bytes_per_s=bytes_per_s, burst_s=burst_s)
    sent, largest = 0, 0
    for events, size, pause in asked:
        clock.now += pause
        if wait := told_to_wait(quotas, who, events, size):
            clock.now += math.ceil(wait)
            quotas.charge(who, events, size)
        sent += events
        largest = max(largest, events)
        assert sent <= events_per_s * (burst_s + clock.now) + largest + 1e-6


def told_to_wait(quotas: Quotas, who: Sender, events: int, size: int) -> float | None:
    try:
        quotas.charge(who, events, size)
    except RequestError as error:
        return error.retry_after_s
    return None

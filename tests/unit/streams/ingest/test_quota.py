from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RequestError
from streams.ingest.api_keys import ANONYMOUS, ApiKeyIdentity, Quota
from streams.ingest.quota import Quotas


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sender(**quota: float) -> ApiKeyIdentity:
    return ApiKeyIdentity("k", "acme", frozenset(), Quota.model_validate(quota))


def rejected(quotas: Quotas, identity: ApiKeyIdentity, events: int, size: int = 0) -> RequestError:
    with pytest.raises(RequestError) as raised:
        quotas.charge(identity, events, size)
    assert raised.value.status == 429
    assert raised.value.retry_after_s is not None
    return raised.value


def test_a_burst_passes_and_further_events_wait_for_retry_after() -> None:
    clock = Clock()
    quotas, identity = Quotas(clock), sender(events_per_s=10, burst_s=2)
    quotas.charge(identity, 20, 10**9)
    error = rejected(quotas, identity, 5)
    assert error.retry_after_s == pytest.approx(0.5)
    assert error.reason == "quota events_per_s"
    clock.now = 0.49
    rejected(quotas, identity, 5)
    clock.now = 0.5
    quotas.charge(identity, 5, 0)


def test_bytes_and_events_are_limited_separately() -> None:
    quotas, identity = Quotas(Clock()), sender(events_per_s=100, bytes_per_s=1000, burst_s=1)
    quotas.charge(identity, 1, 900)
    assert rejected(quotas, identity, 1, 200).reason == "quota bytes_per_s"
    quotas.charge(identity, 99, 100)  # the rejected request took no events


def test_a_request_larger_than_the_burst_passes_and_leaves_a_debt() -> None:
    clock = Clock()
    quotas, identity = Quotas(clock), sender(events_per_s=10, burst_s=1)
    quotas.charge(identity, 100, 0)
    assert rejected(quotas, identity, 0).retry_after_s == pytest.approx(9)
    clock.now = 10
    quotas.charge(identity, 10, 0)


def test_each_in_flight_request_reserves_one_event() -> None:
    quotas, identity = Quotas(Clock()), sender(events_per_s=1, burst_s=3)
    for in_flight in range(3):
        quotas.check(identity, 0, in_flight)
    with pytest.raises(RequestError) as raised:
        quotas.check(identity, 0, 3)
    assert raised.value.status == 429
    assert raised.value.retry_after_s == pytest.approx(1)


def test_requests_before_retry_after_are_rejected_unread() -> None:
    clock = Clock()
    quotas, identity = Quotas(clock), sender(events_per_s=10, burst_s=2)
    quotas.charge(identity, 10, 0)
    assert rejected(quotas, identity, 15).retry_after_s == pytest.approx(0.5)
    clock.now = 0.4
    with pytest.raises(RequestError) as raised:
        quotas.check(identity, 0, 0)
    assert raised.value.retry_after_s == pytest.approx(0.1)
    clock.now = 0.5
    quotas.check(identity, 0, 0)


def test_a_changed_quota_applies_immediately() -> None:
    quotas = Quotas(Clock())
    quotas.charge(sender(events_per_s=1, burst_s=1), 1, 0)
    rejected(quotas, sender(events_per_s=1, burst_s=1), 1)
    quotas.charge(sender(events_per_s=5, burst_s=1), 5, 0)
    assert rejected(quotas, sender(events_per_s=5, burst_s=1), 1).retry_after_s == pytest.approx(0.2)


def test_a_sender_without_a_quota_is_unlimited() -> None:
    quotas = Quotas(Clock())
    for _ in range(3):
        quotas.charge(ANONYMOUS, 10**9, 10**12)
    assert not ANONYMOUS.quota.model_dump(include={"events_per_s", "bytes_per_s"}, exclude_none=True)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5000), st.floats(0, 3)), min_size=1, max_size=40),
    st.integers(1, 20),
    st.integers(1, 2000),
)
def test_retry_after_is_sufficient_and_the_quota_is_never_exceeded(
    requests: list[tuple[int, int, float]], events_per_s: int, bytes_per_s: int
) -> None:
    clock, burst_s = Clock(), 2.0
    quotas, identity = Quotas(clock), sender(events_per_s=events_per_s, bytes_per_s=bytes_per_s, burst_s=burst_s)
    sent, largest = 0, 0
    for events, size, pause in requests:
        clock.now += pause
        if wait := retry_after(quotas, identity, events, size):
            clock.now += math.ceil(wait)
            quotas.charge(identity, events, size)
        sent += events
        largest = max(largest, events)
        assert sent <= events_per_s * (burst_s + clock.now) + largest + 1e-6


def retry_after(quotas: Quotas, identity: ApiKeyIdentity, events: int, size: int) -> float | None:
    try:
        quotas.charge(identity, events, size)
    except RequestError as error:
        return error.retry_after_s
    return None

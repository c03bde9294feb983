"""Selection of events for review, and the review budget."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.reviewers.review_budget import HOUR_MS, HourlyBudget, partition_share
from streams.reviewers.review_request import review_requests
from streams.reviewers.selection import Selection

EVENT = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}


def row(injection: dict[str, Any] | None, event_id: str = "e") -> dict[str, Any]:
    return {
        "event": EVENT | {"event_id": event_id},
        "signals": {"injection": injection},
        "source_partition": 1,
        "source_offset": 7,
    }


def selection(share: float = 0.0) -> Selection:
    return Selection("judge", ("injection", "hallucination"), 0.35, share)


@pytest.mark.parametrize(
    ("signal", "selected"),
    [
        ({"score": 0.9, "flag": True}, True),
        ({"score": 0.35, "flag": False}, True),
        ({"score": 0.1, "flag": True}, True),
        ({"score": 0.34, "flag": False}, False),
        ({"score": None, "flag": False}, False),
        (None, False),
    ],
)
def test_flagged_and_high_scoring_events_are_suspicious(signal: dict[str, Any] | None, selected: bool) -> None:
    assert list(selection().select(row(signal))) == ([("injection", "suspicious", 1.0)] if selected else [])


def test_sampling_is_deterministic_and_near_the_configured_share() -> None:
    sampling = selection(0.1)
    rows = [row({"score": 0.0, "flag": False}, f"e{i}") for i in range(5000)]
    drawn = [bool(list(sampling.select(r))) for r in rows]
    assert 400 < sum(drawn) < 600
    assert drawn == [bool(list(selection(0.1).select(r))) for r in rows]
    assert {p for r in rows for _, reason, p in sampling.select(r) if reason == "sampled"} == {0.1}


def test_events_with_requested_labels_are_selected_if_enabled() -> None:
    signal = row({"score": 0.1, "flag": False}) | {"label_request_probability": {"injection": 0.07}}
    with_requests = Selection("judge", ("injection",), 0.35, 0.0, requested=True)
    assert list(with_requests.select(signal)) == [("injection", "requested", 0.07)]
    assert list(selection().select(signal)) == []
    assert list(
        with_requests.select(row({"score": 0.9, "flag": True}) | {"label_request_probability": {"injection": 0.07}})
    ) == [("injection", "suspicious", 1.0)]


def test_two_reviewers_sample_different_events() -> None:
    rows = [row({"score": 0.0, "flag": False}, f"e{i}") for i in range(2000)]
    other = Selection("encoder", ("injection",), 0.35, 0.1)
    assert [list(selection(0.1).select(r)) for r in rows] != [list(other.select(r)) for r in rows]


def test_a_review_request_has_its_source_position() -> None:
    (request,) = review_requests(orjson.dumps(row({"score": 0.5, "flag": True})), selection())
    assert (request.event.event_id, request.signal, request.partition, request.offset) == ("e", "injection", 1, 7)


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{", b'{"event": 1, "signals": {}}', b'{"event": {}}'])
def test_invalid_scored_records_give_no_review_request(value: bytes | None) -> None:
    assert list(review_requests(value, selection())) == []


def test_an_event_that_breaks_the_contract_gives_no_review_request() -> None:
    broken = row({"score": 0.9, "flag": True}) | {"event": {"event_id": "e"}}
    assert list(review_requests(orjson.dumps(broken), selection())) == []


def test_the_budget_limits_each_hour_separately() -> None:
    budget = HourlyBudget(3)
    late = 99 * HOUR_MS
    assert [budget.take(i, late) for i in range(5)] == [True] * 3 + [False] * 2
    assert [budget.take(HOUR_MS + i, late) for i in range(4)] == [True] * 3 + [False]


def test_late_events_are_charged_to_the_current_hour() -> None:
    budget = HourlyBudget(1)
    assert budget.take(5 * HOUR_MS, 9 * HOUR_MS)
    assert not budget.take(4 * HOUR_MS, 9 * HOUR_MS)


def test_future_dated_events_open_no_new_hours() -> None:
    budget = HourlyBudget(1)
    written = 10 * HOUR_MS
    assert sum(budget.take(written + hour * HOUR_MS, written) for hour in range(100)) == 1


@pytest.mark.parametrize(("budget", "partitions"), [(100, 4), (10, 3), (2, 12), (0, 4)])
def test_partition_shares_add_up_to_the_budget(budget: int, partitions: int) -> None:
    assert sum(partition_share(budget, p, partitions) for p in range(partitions)) == budget


def test_the_budget_continues_from_committed_metadata() -> None:
    budget = HourlyBudget(2)
    assert budget.take(0, HOUR_MS)
    restored = HourlyBudget.from_metadata(2, budget.metadata())
    assert [restored.take(0, HOUR_MS), restored.take(0, HOUR_MS)] == [True, False]


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"hour": null}', '{"used": 1}'])
def test_invalid_metadata_gives_a_new_budget(metadata: str) -> None:
    assert HourlyBudget.from_metadata(2, metadata) == HourlyBudget(2)

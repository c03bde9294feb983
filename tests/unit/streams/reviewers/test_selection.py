"""What a reviewer is asked about, and what it may cost."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.reviewers.review_budget import HOUR_MS, HourlyBudget, share_of
from streams.reviewers.review_request import questions
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
    ("said", "chosen"),
    [
        ({"score": 0.9, "flag": True}, True),
        ({"score": 0.35, "flag": False}, True),
        ({"score": 0.1, "flag": True}, True),
        ({"score": 0.34, "flag": False}, False),
        ({"score": None, "flag": False}, False),
        (None, False),
    ],
)
def test_suspicious_is_what_is_flagged_or_near_it(said: dict[str, Any] | None, chosen: bool) -> None:
    assert list(selection().of(row(said))) == ([("injection", "suspicious", 1.0)] if chosen else [])


def test_the_sampled_share_is_drawn_alike_at_every_time_and_near_its_size() -> None:
    chooses = selection(0.1)
    rows = [row({"score": 0.0, "flag": False}, f"e{i}") for i in range(5000)]
    drawn = [bool(list(chooses.of(r))) for r in rows]
    assert 400 < sum(drawn) < 600
    assert drawn == [bool(list(selection(0.1).of(r))) for r in rows]
    assert {p for r in rows for _, why, p in chooses.of(r) if why == "sampled"} == {0.1}


def test_what_the_agents_ask_a_label_of_is_asked_about_where_the_reviewer_may() -> None:
    said = row({"score": 0.1, "flag": False}) | {"label_request_probability": {"injection": 0.07}}
    may = Selection("judge", ("injection",), 0.35, 0.0, requested=True)
    assert list(may.of(said)) == [("injection", "requested", 0.07)]
    assert list(selection().of(said)) == []
    assert list(may.of(row({"score": 0.9, "flag": True}) | {"label_request_probability": {"injection": 0.07}})) == [
        ("injection", "suspicious", 1.0)
    ]


def test_two_reviewers_sample_different_events() -> None:
    rows = [row({"score": 0.0, "flag": False}, f"e{i}") for i in range(2000)]
    other = Selection("encoder", ("injection",), 0.35, 0.1)
    assert [list(selection(0.1).of(r)) for r in rows] != [list(other.of(r)) for r in rows]


def test_a_question_knows_its_source() -> None:
    (question,) = questions(orjson.dumps(row({"score": 0.5, "flag": True})), selection())
    assert (question.event.event_id, question.signal, question.partition, question.offset) == ("e", "injection", 1, 7)


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{", b'{"event": 1, "signals": {}}', b'{"event": {}}'])
def test_what_is_no_scored_event_gives_no_question(value: bytes | None) -> None:
    assert list(questions(value, selection())) == []


def test_an_event_that_breaks_the_contract_gives_no_question() -> None:
    broken = row({"score": 0.9, "flag": True}) | {"event": {"event_id": "e"}}
    assert list(questions(orjson.dumps(broken), selection())) == []


def test_an_hour_costs_no_more_than_its_budget_and_the_next_begins_anew() -> None:
    budget = HourlyBudget(3)
    late = 99 * HOUR_MS
    assert [budget.take(i, late) for i in range(5)] == [True] * 3 + [False] * 2
    assert [budget.take(HOUR_MS + i, late) for i in range(4)] == [True] * 3 + [False]


def test_late_events_are_paid_by_the_present_hour() -> None:
    budget = HourlyBudget(1)
    assert budget.take(5 * HOUR_MS, 9 * HOUR_MS)
    assert not budget.take(4 * HOUR_MS, 9 * HOUR_MS)


def test_a_client_that_dates_its_events_ahead_opens_no_new_hours() -> None:
    budget = HourlyBudget(1)
    written = 10 * HOUR_MS
    assert sum(budget.take(written + hour * HOUR_MS, written) for hour in range(100)) == 1


@pytest.mark.parametrize(("budget", "partitions"), [(100, 4), (10, 3), (2, 12), (0, 4)])
def test_the_partitions_shares_add_up_to_the_budget(budget: int, partitions: int) -> None:
    assert sum(share_of(budget, p, partitions) for p in range(partitions)) == budget


def test_the_budget_continues_from_what_was_committed() -> None:
    budget = HourlyBudget(2)
    assert budget.take(0, HOUR_MS)
    again = HourlyBudget.from_metadata(2, budget.metadata())
    assert [again.take(0, HOUR_MS), again.take(0, HOUR_MS)] == [True, False]


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"hour": null}', '{"used": 1}'])
def test_an_unreadable_note_begins_anew(metadata: str) -> None:
    assert HourlyBudget.from_metadata(2, metadata) == HourlyBudget(2)

"""A range is split into inserts of few months, identically on every retry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sink.monthly_inserts import MONTHS_PER_INSERT, month, split_by_months

NOW = datetime(2026, 6, 15, tzinfo=UTC)
_MIN, _MAX = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (1971, 2199))


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def split(times: list[int]) -> list[tuple[str, list[Any]]]:
    return list(split_by_months([(n, (time,)) for n, time in enumerate(times)], 0, ms(NOW)))


@pytest.mark.parametrize(
    "moment", [NOW, NOW.replace(month=1), NOW.replace(year=2020), NOW.replace(year=2199)], ids=lambda m: str(m.date())
)
def test_rows_within_one_year_are_one_insert_with_the_token_of_the_range(moment: datetime) -> None:
    """The year does not matter: replayed history needs no splitting."""
    assert [(suffix, len(rows)) for suffix, rows in split([ms(moment)] * 3)] == [("", 3)]


def test_near_dated_rows_come_first_and_far_dated_rows_in_separate_inserts() -> None:
    (first, near), (second, far) = split([ms(NOW.replace(year=2199)), ms(NOW), ms(NOW.replace(month=7))])
    assert first == ""
    assert [n for n, _ in near] == [1, 2]
    assert second
    assert [n for n, _ in far] == [0]


@given(st.lists(st.integers(_MIN, _MAX), min_size=1, max_size=200))
def test_every_row_is_in_exactly_one_insert_of_few_months(times: list[int]) -> None:
    inserts = split(times)
    assert sorted(n for _, rows in inserts for n, _ in rows) == list(range(len(times)))
    assert all(len({month(row[0]) for _, row in rows}) <= MONTHS_PER_INSERT for _, rows in inserts)
    assert len({suffix for suffix, _ in inserts}) == len(inserts)
    assert inserts == split(times)

"""A range is cut into inserts of few months, the same way at every try."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sink.monthly_inserts import MONTHS_PER_INSERT, by_months, month

NOW = datetime(2026, 6, 15, tzinfo=UTC)
_LEAST, _MOST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (1971, 2199))


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def cut(times: list[int]) -> list[tuple[str, list[Any]]]:
    return list(by_months([(n, (time,)) for n, time in enumerate(times)], 0, ms(NOW)))


@pytest.mark.parametrize(
    "moment", [NOW, NOW.replace(month=1), NOW.replace(year=2020), NOW.replace(year=2199)], ids=lambda m: str(m.date())
)
def test_rows_within_a_year_are_one_insert_under_the_ranges_own_token(moment: datetime) -> None:
    """Wherever they lie: history that is replayed is ordinary."""
    assert [(apart, len(rows)) for apart, rows in cut([ms(moment)] * 3)] == [("", 3)]


def test_ordinary_rows_come_first_and_far_dated_ones_apart() -> None:
    (first, near), (second, far) = cut([ms(NOW.replace(year=2199)), ms(NOW), ms(NOW.replace(month=7))])
    assert first == ""
    assert [n for n, _ in near] == [1, 2]
    assert second
    assert [n for n, _ in far] == [0]


@given(st.lists(st.integers(_LEAST, _MOST), min_size=1, max_size=200))
def test_every_row_is_in_one_insert_of_few_months(times: list[int]) -> None:
    inserts = cut(times)
    assert sorted(n for _, rows in inserts for n, _ in rows) == list(range(len(times)))
    assert all(len({month(row[0]) for _, row in rows}) <= MONTHS_PER_INSERT for _, rows in inserts)
    assert len({apart for apart, _ in inserts}) == len(inserts)
    assert inserts == cut(times)

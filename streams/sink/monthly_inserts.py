"""The rows of one range as inserts of few months each: tables are partitioned by month, and each month is a part.

One insert of 3,000 rows over 2,700 months made as many parts and took 21 s, during which nothing else was inserted, and
a server takes 100 partitions an insert at the most (``max_partitions_per_insert_block``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar

MONTHS_PER_INSERT: Final = 12
_AHEAD: Final = 1
"""Months after that of the broker's time which count as near: clocks differ, and a month ends."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def month(milliseconds: int) -> int:
    """Return the number of a month, counted from the year 0.

    Examples
    --------
    >>> month(0) == 1970 * 12
    True
    """
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.year * 12 + moment.month - 1


def by_months(
    rows: Sequence[tuple[T, tuple[Any, ...]]], column: int, received_ms: int
) -> Iterator[tuple[str, list[Any]]]:
    """Yield rows of few months each, with what tells them apart; ordinary rows first.

    Depends on the rows and the broker's time alone, so that an insert that is repeated is cut the same way.

    Parameters
    ----------
    rows
        Records with their rows.
    column
        Of a row, in milliseconds: the table's partition is its month.
    received_ms
        The broker's time of the last record: rows dated near it are ordinary, far-dated ones go apart.
    """
    times = [row[column] for _, row in rows]
    if month(max(times)) - month(min(times)) < MONTHS_PER_INSERT:
        yield "", list(rows)
        return
    newest = month(received_ms) + _AHEAD
    dated = [(month(time), row) for time, row in zip(times, rows, strict=True)]
    near = [row for at, row in dated if newest - MONTHS_PER_INSERT < at <= newest]
    if near:
        yield "", near
    far = sorted(((at, row) for at, row in dated if not newest - MONTHS_PER_INSERT < at <= newest), key=lambda d: d[0])
    months = [(at, [row for _, row in group]) for at, group in groupby(far, key=lambda d: d[0])]
    for begin in range(0, len(months), MONTHS_PER_INSERT):
        some = months[begin : begin + MONTHS_PER_INSERT]
        yield f"/months-{some[0][0]}-{some[-1][0]}", [row for _, group in some for row in group]

"""One range of one partition into ClickHouse: build rows, insert them once, set bad ones aside.

Everything here blocks; the sink calls it in a thread.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError

from schemas.errors import BatchError, RecordError, RowError, StoreError
from streams.runtime.metrics import SINK_DUPLICATES_DROPPED, SINK_ERRORS, SINK_ROWS
from streams.sink.monthly_inserts import MONTHS_PER_INSERT, by_months
from streams.sink.range_planner import Seen
from streams.sink.table_rows import Row, Table, build_row

SCHEMA_TAG = "v1"
# Parse, range and constraint errors: the row's fault. Anything else is the store's, and is tried again.
BAD_ROW_CODES = frozenset({6, 26, 27, 38, 41, 69, 72, 117, 131, 321, 349, 407, 469, 691})


class Record(Protocol):
    """What is used of a Kafka record."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that no table takes, and why."""

    record: Record
    error: RecordError


@dataclass(slots=True)
class Outcome:
    """What became of a range; ``seen`` goes into the commit."""

    seen: Seen
    rows: int = 0
    bad: list[Bad] = field(default_factory=list)


@dataclass(slots=True)
class Insertion:
    """A range on its way into ClickHouse: inserts of few months each, the ordinary rows' first.

    Attributes
    ----------
    left
        Token and rows of the inserts that are not made yet.
    """

    table: Table
    outcome: Outcome
    left: deque[tuple[str, list[tuple[Record, Row]]]] = field(default_factory=deque)


class Inserter:
    """Inserts ranges with deterministic tokens, so that a repeated insert of the same range changes nothing.

    Parameters
    ----------
    client_factory : callable
        Opens a client; called again after a failure.
    database : str
        Where the tables are.
    """

    def __init__(self, client_factory: Callable[[], Client], database: str) -> None:
        self._factory = client_factory
        self._database = database
        self._client: Client | None = None
        self._types: dict[str, list[Any]] = {}

    def insert(self, table: Table, origin: str, records: Sequence[Record], seen: Seen) -> Outcome:
        """Insert all records of one range: `prepare`, and `advance` until nothing is left."""
        insertion = self.prepare(table, origin, records, seen)
        while insertion.left:
            self.advance(insertion)
        return insertion.outcome

    def prepare(self, table: Table, origin: str, records: Sequence[Record], seen: Seen) -> Insertion:
        """Build the rows of one range and divide them into inserts, the same ones at every try.

        Parameters
        ----------
        table : Table
            The topic's table.
        origin : str
            ``topic-partition-begin-end`` of the announced range; begins the token.
        records : sequence of Record
            All records of the range, ascending.
        seen : tuple of int
            From the mark before the range.
        """
        insertion = Insertion(table, Outcome(seen))
        good = self._build(table, records, insertion.outcome)
        SINK_ERRORS.labels("bad_row").inc(len(insertion.outcome.bad))
        if good:
            for apart, rows in by_months(good, table.dated_column, records[-1].timestamp):
                insertion.left.append((f"{origin}{apart}", rows))
        return insertion

    def advance(self, insertion: Insertion) -> None:
        """Make the next insert.

        Raises
        ------
        StoreError
            If ClickHouse is away or refuses for another reason than a row; nothing is lost, try again.
        """
        token, rows = insertion.left[0]
        before, bad = insertion.outcome.rows, len(insertion.outcome.bad)
        self._insert_or_bisect(insertion.table, token, rows, insertion.outcome)
        insertion.left.popleft()
        SINK_ROWS.labels(insertion.table.name).inc(insertion.outcome.rows - before)
        SINK_ERRORS.labels("bad_row").inc(len(insertion.outcome.bad) - bad)

    def close(self) -> None:
        """Close the client; the next insert opens another."""
        client, self._client = self._client, None
        self._types.clear()
        if client is not None:
            client.close()

    def _build(self, table: Table, records: Sequence[Record], outcome: Outcome) -> list[tuple[Record, Row]]:
        good = []
        repeats = 0
        for record in records:
            try:
                row, place = build_row(table, record.value, record.timestamp)
            except RecordError as error:
                outcome.bad.append(Bad(record, error if isinstance(error, BatchError) else RowError(str(error))))
                continue
            if place is not None:
                if place <= outcome.seen:
                    repeats += 1
                    continue
                outcome.seen = place
            good.append((record, row))
        SINK_DUPLICATES_DROPPED.inc(repeats)
        return good

    def _insert_or_bisect(self, table: Table, token: str, good: list[tuple[Record, Row]], outcome: Outcome) -> None:
        """Insert; where a row is at fault, halve until it is alone. Halves and tokens are the same on every try."""
        try:
            self._send(table, token, [row for _, row in good])
            outcome.rows += len(good)
        except _BadRowError as error:
            if len(good) == 1:
                outcome.bad.append(Bad(good[0][0], RowError(str(error))))
                return
            middle = len(good) // 2
            for half in (good[:middle], good[middle:]):
                self._insert_or_bisect(table, f"{token}/{half[0][0].offset}-{half[-1][0].offset}", half, outcome)

    def _send(self, table: Table, token: str, rows: list[Row]) -> None:
        try:
            client = self._open(table)
            client.insert(
                table.name,
                list(zip(*rows, strict=True)),
                column_names=table.columns,
                database=self._database,
                column_types=self._types[table.name],
                column_oriented=True,
                settings=insert_settings(f"{token}-{SCHEMA_TAG}"),
            )
        except (DataError, struct.error, TypeError, ValueError, OverflowError) as error:
            raise _BadRowError(str(error)) from error
        except (ClickHouseError, OSError) as error:
            if getattr(error, "code", None) in BAD_ROW_CODES:
                raise _BadRowError(str(error)) from error
            self.close()
            raise StoreError(f"insert into {table.name}: {error}") from error

    def _open(self, table: Table) -> Client:
        if self._client is None:
            self._client = self._factory()
        if table.name not in self._types:
            context = self._client.create_insert_context(table.name, table.columns, self._database)
            self._types[table.name] = list(context.column_types)
        return self._client


class _BadRowError(Exception):
    """ClickHouse or its client refused the rows themselves."""


def insert_settings(token: str) -> dict[str, Any]:
    """Return the settings under which an insert happens once or not at all.

    The block must stay whole (one block, one token), times must not wrap, and no insert makes more parts than planned.
    """
    return {
        "insert_deduplication_token": token,
        "insert_deduplicate": 1,
        "async_insert": 0,
        "date_time_overflow_behavior": "throw",
        "max_partitions_per_insert_block": MONTHS_PER_INSERT,
        "max_insert_threads": 1,
    }

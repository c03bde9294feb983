"""One range of one partition into ClickHouse: build rows, insert them once, set bad ones aside.

Everything here blocks; the sink calls it in a thread.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError

from schemas.errors import BatchError, RecordError, RowError, StoreError
from streams.metrics import SINK_ERRORS, SINK_REPEATS_DROPPED, SINK_ROWS
from streams.sink.ranges import Seen
from streams.sink.rows import Row, Table, build_row

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
        """Insert all records of one range.

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

        Raises
        ------
        StoreError
            If ClickHouse is away or refuses for another reason than a row; nothing is lost, try again.
        """
        outcome = Outcome(seen)
        good = self._build(table, records, outcome)
        if good:
            self._insert_or_bisect(table, origin, good, outcome)
        SINK_ROWS.labels(table.name).inc(outcome.rows)
        SINK_ERRORS.labels("bad_row").inc(len(outcome.bad))
        return outcome

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
        SINK_REPEATS_DROPPED.inc(repeats)
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

    The block must stay whole (one block, one token), times must not wrap, and a batch whose times span many months
    must not be refused for the number of its parts.
    """
    return {
        "insert_deduplication_token": token,
        "insert_deduplicate": 1,
        "async_insert": 0,
        "date_time_overflow_behavior": "throw",
        "max_partitions_per_insert_block": 0,
        "max_insert_threads": 1,
    }

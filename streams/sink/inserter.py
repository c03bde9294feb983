"""Inserter: build the rows of one range, insert each row once into ClickHouse, and collect rejected records.

All calls block; the sink makes them in a thread.
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
from streams.sink.monthly_inserts import MONTHS_PER_INSERT, split_by_months
from streams.sink.range_planner import SourcePosition
from streams.sink.table_rows import Row, Table, build_row

SCHEMA_TAG = "v1"
# Parse, range and constraint errors are caused by the row. Any other error is caused by the store and is retried.
BAD_ROW_CODES = frozenset({6, 26, 27, 38, 41, 69, 72, 117, 131, 321, 349, 407, 469, 691})


class Record(Protocol):
    """Kafka record, restricted to the attributes that the sink reads."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """Record that does not fit its table, with the error."""

    record: Record
    error: RecordError


@dataclass(slots=True)
class InsertResult:
    """Result of inserting a range; ``dedup_position`` is committed with it."""

    dedup_position: SourcePosition
    rows: int = 0
    rejected: list[RejectedRecord] = field(default_factory=list)


@dataclass(slots=True)
class Insertion:
    """Range that is being inserted: inserts of few months each, near-dated rows first.

    Attributes
    ----------
    pending
        Token and rows of the inserts that remain.
    """

    table: Table
    result: InsertResult
    pending: deque[tuple[str, list[tuple[Record, Row]]]] = field(default_factory=deque)


class Inserter:
    """Idempotent inserter: deterministic tokens make a repeated insert of the same range a no-op.

    Parameters
    ----------
    client_factory : callable
        Opens a client; called again after a failure.
    database : str
        Database of the tables.
    """

    def __init__(self, client_factory: Callable[[], Client], database: str) -> None:
        self._factory = client_factory
        self._database = database
        self._client: Client | None = None
        self._types: dict[str, list[Any]] = {}

    def insert(
        self, table: Table, origin: str, records: Sequence[Record], dedup_position: SourcePosition
    ) -> InsertResult:
        """Insert all records of one range: `prepare`, then `advance` until no insert is pending."""
        insertion = self.prepare(table, origin, records, dedup_position)
        while insertion.pending:
            self.advance(insertion)
        return insertion.result

    def prepare(
        self, table: Table, origin: str, records: Sequence[Record], dedup_position: SourcePosition
    ) -> Insertion:
        """Build the rows of one range and split them into inserts; every retry gives the same inserts.

        Parameters
        ----------
        table : Table
            Table of the topic.
        origin : str
            Name of the announced range, ``topic-partition-start-end``; prefix of the token.
        records : sequence of Record
            All records of the range, ascending.
        dedup_position : tuple of int
            From the marker before the range.
        """
        insertion = Insertion(table, InsertResult(dedup_position))
        built = self._build(table, records, insertion.result)
        SINK_ERRORS.labels("bad_row").inc(len(insertion.result.rejected))
        if built:
            for suffix, rows in split_by_months(built, table.dated_column, records[-1].timestamp):
                insertion.pending.append((f"{origin}{suffix}", rows))
        return insertion

    def advance(self, insertion: Insertion) -> None:
        """Run the next pending insert.

        Raises
        ------
        StoreError
            If ClickHouse is unavailable or refuses the insert for a reason other than a row; no row is lost, and the
            caller retries.
        """
        token, rows = insertion.pending[0]
        result = insertion.result
        rows_before, rejected_before = result.rows, len(result.rejected)
        self._insert_or_bisect(insertion.table, token, rows, result)
        insertion.pending.popleft()
        SINK_ROWS.labels(insertion.table.name).inc(result.rows - rows_before)
        SINK_ERRORS.labels("bad_row").inc(len(result.rejected) - rejected_before)

    def close(self) -> None:
        """Close the client; the next insert opens a new one."""
        client, self._client = self._client, None
        self._types.clear()
        if client is not None:
            client.close()

    def _build(self, table: Table, records: Sequence[Record], result: InsertResult) -> list[tuple[Record, Row]]:
        built = []
        duplicates = 0
        for record in records:
            try:
                row, position = build_row(table, record.value, record.timestamp)
            except RecordError as error:
                row_error = error if isinstance(error, BatchError) else RowError(str(error))
                result.rejected.append(RejectedRecord(record, row_error))
                continue
            if position is not None:
                if position <= result.dedup_position:
                    duplicates += 1
                    continue
                result.dedup_position = position
            built.append((record, row))
        SINK_DUPLICATES_DROPPED.inc(duplicates)
        return built

    def _insert_or_bisect(self, table: Table, token: str, rows: list[tuple[Record, Row]], result: InsertResult) -> None:
        """Insert rows; bisect on a row error to isolate the bad row. Halves and tokens are the same on every retry."""
        try:
            self._send(table, token, [row for _, row in rows])
            result.rows += len(rows)
        except _BadRowError as error:
            if len(rows) == 1:
                result.rejected.append(RejectedRecord(rows[0][0], RowError(str(error))))
                return
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                self._insert_or_bisect(table, f"{token}/{half[0][0].offset}-{half[-1][0].offset}", half, result)

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
            raise StoreError(f"insert into {table.name} failed: {error}") from error

    def _open(self, table: Table) -> Client:
        if self._client is None:
            self._client = self._factory()
        if table.name not in self._types:
            context = self._client.create_insert_context(table.name, table.columns, self._database)
            self._types[table.name] = list(context.column_types)
        return self._client


class _BadRowError(Exception):
    """Refusal of an insert by ClickHouse or its client, caused by a row."""


def insert_settings(token: str) -> dict[str, Any]:
    """Return the ClickHouse settings of an idempotent insert.

    One block has one token and must not be split, times must not wrap around, and no insert may create more parts than
    planned.
    """
    return {
        "insert_deduplication_token": token,
        "insert_deduplicate": 1,
        "async_insert": 0,
        "date_time_overflow_behavior": "throw",
        "max_partitions_per_insert_block": MONTHS_PER_INSERT,
        "max_insert_threads": 1,
    }

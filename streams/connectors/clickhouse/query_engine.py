"""The embedded engine behind the HTTP server: one connection per query, so that nobody's settings reach another's."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import StoreError
from streams.connectors.clickhouse.embedded import open_handle
from streams.connectors.clickhouse.reader_role import quote, readable, restrict
from streams.connectors.clickhouse.request_payload import split_insert

_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class EngineError(StoreError):
    """The engine refused a query; ``code`` is ClickHouse's."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        found = _CODE.search(message)
        self.code = int(found[1]) if found else 1002


@dataclass(frozen=True, slots=True)
class Query:
    """A request as the HTTP layer understood it.

    Attributes
    ----------
    owner
        Whether it may do everything; all others read.
    """

    sql: str
    body: bytes = b""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    owner: bool = False
    query_id: str = ""
    compress: bool = False
    revision: int = 0

    @property
    def text(self) -> str:
        """The statement: of the URL, of the body, or begun in one and ended in the other."""
        body = self.body.decode()
        return f"{self.sql}\n{body}" if self.sql and body else self.sql or body


@dataclass(frozen=True, slots=True)
class Answer:
    """A result of the engine."""

    body: bytes
    read_rows: int = 0
    written_rows: int = 0


class Engine:
    """Runs queries; blocks.

    Parameters
    ----------
    path : Path
        The engine's folder; a process has one engine, so all clients in it name the same.
    database : str
        Used where a query names none; for readers also instead of ``default``, which holds none of our tables.
    """

    def __init__(self, path: Path, database: str) -> None:
        self._path = path
        self._database = database
        self._keeper: Any = None  # the engine lives as long as a handle is open

    def open(self) -> None:
        """Start the engine."""
        self._keeper = open_handle(self._path)

    def close(self) -> None:
        """Let go of the engine."""
        if self._keeper is not None:
            self._keeper.close()

    def run(self, query: Query) -> Answer:
        """Run one query.

        Raises
        ------
        EngineError
            With the engine's text and code.
        DeniedError
            If a reader asks for more than reading.
        """
        handle = open_handle(self._path)
        try:
            return self._own(handle, query) if query.owner else self._read(handle, query)
        except RuntimeError as error:
            raise EngineError(_clean(str(error))) from error
        finally:
            handle.close()

    def _read(self, handle: Any, query: Query) -> Answer:
        sql = readable(handle, query.text)
        self._use(handle, self._database if query.database == "default" else query.database)
        restrict(handle)
        return _execute(handle, sql, query)

    def _own(self, handle: Any, query: Query) -> Answer:
        self._use(handle, query.database)
        insert = split_insert(query.sql.encode(), query.body)
        return _insert(handle, *insert) if insert is not None else _execute(handle, query.text, query)

    def _use(self, handle: Any, database: str) -> None:
        database = database or self._database
        if not _NAME.fullmatch(database):
            raise ValueError(f"database {database!r}: use letters, digits and _")
        handle.query(f"USE {database}")


def _execute(handle: Any, sql: str, query: Query) -> Answer:
    for name, value in query.settings.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"setting {name!r}: not a name")
        handle.query(f"SET {name} = {quote(value)}")
    result = handle.query(sql, query.default_format, params=query.parameters or None)
    return Answer(bytes(result.bytes() or b""), result.rows_read())


def _insert(handle: Any, into: str, data_format: str, data: bytes) -> Answer:
    """Insert through a file: the engine takes no data beside a query."""
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(data)
        file.flush()
        # SETTINGS stand after FROM INFILE in this form
        target, _, settings = into.partition(" SETTINGS ")
        clause = f" SETTINGS {settings}" if settings else ""
        result = handle.query(f"{target} FROM INFILE {quote(file.name)}{clause} FORMAT {data_format}", "TabSeparated")
        return Answer(b"", written_rows=result.rows_read())


def _clean(message: str) -> str:
    start = message.find("Code: ")
    return message[max(start, 0) :].strip()

"""Query execution on the embedded engine: one connection per query, so that settings never leak between queries."""

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
    """A query failed in the engine; ``code`` is ClickHouse's error number."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        match = _CODE.search(message)
        self.code = int(match[1]) if match else 1002


@dataclass(frozen=True, slots=True)
class Query:
    """A query, parsed by the HTTP layer.

    Attributes
    ----------
    owner
        True if the query has all permissions; False for readers.
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
        """The statement: from the URL, from the body, or from both, joined."""
        body = self.body.decode()
        return f"{self.sql}\n{body}" if self.sql and body else self.sql or body


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a query."""

    body: bytes
    read_rows: int = 0
    written_rows: int = 0


class Engine:
    """The embedded engine; all methods block.

    Parameters
    ----------
    path : Path
        Folder of the engine. A process has one engine, so all its clients must use the same folder.
    database : str
        Default database; for readers it also replaces ``default``, which has none of our tables.
    """

    def __init__(self, path: Path, database: str) -> None:
        self._path = path
        self._database = database
        self._handle: Any = None  # the engine runs as long as a handle is open

    def open(self) -> None:
        """Start the engine."""
        self._handle = open_handle(self._path)

    def close(self) -> None:
        """Release the engine."""
        if self._handle is not None:
            self._handle.close()

    def run(self, query: Query) -> Answer:
        """Run one query.

        Raises
        ------
        EngineError
            If the query fails, with the engine's message and code.
        DeniedError
            If a reader's query does not only read.
        """
        handle = open_handle(self._path)
        try:
            return self._run_as_owner(handle, query) if query.owner else self._run_as_reader(handle, query)
        except RuntimeError as error:
            raise EngineError(_clean(str(error))) from error
        finally:
            handle.close()

    def _run_as_reader(self, handle: Any, query: Query) -> Answer:
        sql = readable(handle, query.text)
        self._use(handle, self._database if query.database == "default" else query.database)
        restrict(handle)
        return _execute(handle, sql, query)

    def _run_as_owner(self, handle: Any, query: Query) -> Answer:
        self._use(handle, query.database)
        insert = split_insert(query.sql.encode(), query.body)
        return _insert(handle, *insert) if insert is not None else _execute(handle, query.text, query)

    def _use(self, handle: Any, database: str) -> None:
        database = database or self._database
        if not _NAME.fullmatch(database):
            raise ValueError(f"database {database!r}: not a valid name; use letters, digits and _")
        handle.query(f"USE {database}")


def _execute(handle: Any, sql: str, query: Query) -> Answer:
    for name, value in query.settings.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"setting {name!r}: not a valid name; use letters, digits and _")
        handle.query(f"SET {name} = {quote(value)}")
    result = handle.query(sql, query.default_format, params=query.parameters or None)
    return Answer(bytes(result.bytes() or b""), result.rows_read())


def _insert(handle: Any, into: str, data_format: str, data: bytes) -> Answer:
    """Insert data through a file, since the engine does not accept data together with a query."""
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(data)
        file.flush()
        # with FROM INFILE, the SETTINGS clause follows the file name
        target, _, settings = into.partition(" SETTINGS ")
        clause = f" SETTINGS {settings}" if settings else ""
        result = handle.query(f"{target} FROM INFILE {quote(file.name)}{clause} FORMAT {data_format}", "TabSeparated")
        return Answer(b"", written_rows=result.rows_read())


def _clean(message: str) -> str:
    start = message.find("Code: ")
    return message[max(start, 0) :].strip()

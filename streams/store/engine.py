"""The embedded engine behind the HTTP server: one handle per query, so that nobody's settings reach another's."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

from schemas.errors import StoreError
from streams.store.guard import HARMLESS_TABLE_FUNCTIONS, check_read
from streams.store.payload import split_insert

_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"[A-Za-z_]\w*")


class EngineError(StoreError):
    """The engine refused a query; ``code`` is ClickHouse's."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        found = _CODE.search(message)
        self.code = int(found[1]) if found else 1002


@dataclass(frozen=True, slots=True)
class Query:
    """A request as the HTTP layer understood it."""

    sql: str
    body: bytes = b""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    writable: bool = True
    query_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine gave."""

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
        Used where a query names none, and instead of ``default``, whose tables are the machine's files.
    allow_inserts : bool
        Let everything through.
    """

    def __init__(self, path: Path, database: str, *, allow_inserts: bool) -> None:
        self._path = str(path.resolve())
        self._database = database
        self._allow_inserts = allow_inserts
        self._keeper: Any = None  # the engine lives as long as a handle is open
        self._forbidden: frozenset[str] = frozenset()

    def open(self) -> None:
        """Start the engine and learn the names of its table functions."""
        self._keeper = chdb.connect(self._path)
        names = self._keeper.query("SELECT lower(name) FROM system.table_functions", "TSV").bytes().decode().split()
        self._forbidden = frozenset(names) - HARMLESS_TABLE_FUNCTIONS

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
        sql = query.sql if self._allow_inserts and query.writable else _text(query)
        if not (self._allow_inserts and query.writable):
            check_read(sql, query.parameters, self._forbidden)
        handle = chdb.connect(self._path)
        try:
            self._prepare(handle, query)
            return self._execute(handle, query)
        except RuntimeError as error:
            raise EngineError(_clean(str(error))) from error
        finally:
            handle.close()

    def _prepare(self, handle: Any, query: Query) -> None:
        database = query.database or self._database
        if database == "default" and not self._allow_inserts:
            database = self._database
        if not _NAME.fullmatch(database):
            raise ValueError(f"database {database!r}: use letters, digits and _")
        handle.query(f"USE {database}")
        for name, value in query.settings.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"setting {name!r}: not a name")
            handle.query(f"SET {name} = {_quote(value)}")
        if not (self._allow_inserts and query.writable):
            handle.query("SET readonly = 2")

    def _execute(self, handle: Any, query: Query) -> Answer:
        insert = split_insert(query.sql.encode(), query.body)
        if insert is not None:
            return _insert(handle, *insert)
        result = handle.query(_text(query), query.default_format, params=query.parameters or None)
        return Answer(bytes(result.bytes() or b""), result.rows_read())


def _text(query: Query) -> str:
    body = query.body.decode()
    return f"{query.sql}\n{body}" if query.sql and body else query.sql or body


def _insert(handle: Any, into: str, data_format: str, data: bytes) -> Answer:
    """Insert through a file: the engine takes no data beside a query."""
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(data)
        file.flush()
        # SETTINGS stand after FROM INFILE in this form
        target, _, settings = into.partition(" SETTINGS ")
        clause = f" SETTINGS {settings}" if settings else ""
        result = handle.query(f"{target} FROM INFILE {_quote(file.name)}{clause} FORMAT {data_format}", "TabSeparated")
        return Answer(b"", written_rows=result.rows_read())


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _clean(message: str) -> str:
    start = message.find("Code: ")
    return message[max(start, 0) :].strip()

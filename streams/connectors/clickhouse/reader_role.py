"""The reader role of the embedded engine: a connection gets role, profile and limits before it runs external SQL.

The engine's access control decides, by the same roles and profiles as on a server (``access/users.d/roles.xml``). An
embedded engine trusts its user as the owner of the process, so three things are outside its access control: statements
that change the session (``SET ROLE``), ``INTO OUTFILE``, and the functions in `UNCONTROLLED`. The engine's parser
detects them, and the engine runs the text that its parser formatted, so there is no second parser that could differ.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from xml.etree import ElementTree as ET

from schemas.errors import StoreError
from streams.connectors.clickhouse.embedded import ACCESS

READER = "streamgauge_reader"
MAX_SQL_BYTES = 256 << 10
"""Maximum size of a statement, equal to ClickHouse's default (max_query_size)."""

READONLY = 164
ACCESS_DENIED = 497
UNCONTROLLED = frozenset({"file", "python", "arrowstream"})
"""Functions that read files or objects of this process without a grant; their names are rejected everywhere."""

_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|(`(?:[^`\\]|\\.|``)*`)", re.DOTALL)
_PLAIN = re.compile(r"[^'`\"\x80-\U0010ffff]*")
_WORD = re.compile(r"\w+")


class DeniedError(StoreError):
    """External SQL does more than read our tables; ``code`` is ClickHouse's error number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


def readable(handle: Any, sql: str) -> str:
    """Return a statement, formatted by the engine's parser, if it only reads.

    Parameters
    ----------
    handle
        A connection before `restrict`.
    sql
        External SQL.

    Raises
    ------
    DeniedError
        If there is more than one statement, if the statement does not only read, or if it contains a name in
        `UNCONTROLLED`.
    RuntimeError
        If the text is not valid SQL; raised by the engine.
    """
    if len(sql.encode()) > MAX_SQL_BYTES:
        raise DeniedError(62, f"the statement exceeds {MAX_SQL_BYTES:,} bytes; send a shorter statement")
    formatted = handle.query(f"SELECT formatQuerySingleLine({quote(sql)}) FORMAT RawBLOB", "RawBLOB").bytes()
    text = bytes(formatted).decode()
    query_class = handle._conn.classify_query(text)  # noqa: SLF001 - chDB exposes its classifier nowhere else
    if query_class["query_class"].name != "READ_ONLY" or query_class["statement_count"] != 1:
        raise DeniedError(
            READONLY,
            "readers may only read; send one SELECT, SHOW, DESCRIBE, EXISTS or EXPLAIN without INTO OUTFILE",
        )
    if name := uncontrolled(text):
        raise DeniedError(
            ACCESS_DENIED, f"the function {name} reads files of this machine and is not allowed for readers; remove it"
        )
    return text


def uncontrolled(text: str) -> str:
    """Return the first name of `UNCONTROLLED` in a formatted statement; empty if there is none.

    Examples
    --------
    >>> uncontrolled("SELECT 'file', `events`.`event_id` FROM events")
    ''
    >>> uncontrolled("SELECT * APPLY `file` FROM t")
    'file'
    """
    names = [match[1][1:-1] for match in _QUOTED.finditer(text) if match[1]]
    bare = _QUOTED.sub(" ", text)
    if not _PLAIN.fullmatch(bare):
        raise DeniedError(ACCESS_DENIED, "the statement has unclosed quotes; close them")
    return next((name for name in map(str.lower, [*names, *_WORD.findall(bare)]) if name in UNCONTROLLED), "")


def restrict(handle: Any) -> None:
    """Restrict a connection to the reader role permanently; statements that pass `readable` cannot undo it."""
    limits = ", ".join(f"{name} = {quote(value)}" for name, value in _limits().items())
    # Values come first, because the profile's constraints prevent changes; readonly comes last, because it prevents
    # the choice of a profile.
    for statement in (f"SET {limits}", f"SET ROLE {READER}", f"SET profile = '{READER}'", "SET readonly = 2"):
        handle.query(statement)


@cache
def _limits() -> dict[str, str]:
    """Return the settings of the reader's profile: the embedded engine applies its constraints, but not its values."""
    settings = ET.parse(ACCESS / "users.d" / "roles.xml").findall(f"profiles/{READER}/*")  # noqa: S314 - our own file
    return {of.tag: of.text or "" for of in settings if of.tag not in {"constraints", "readonly"}}


def quote(value: str) -> str:
    r"""Return a ClickHouse string literal.

    Examples
    --------
    >>> quote("it's")
    "'it\\'s'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

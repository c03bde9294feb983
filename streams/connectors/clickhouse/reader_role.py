"""The reader of the embedded engine: a connection takes its role, profile and limits before it runs SQL from outside.

The engine's own access control decides, by the same roles and profiles as on a server (``access/users.d/roles.xml``).
Three things are outside of it in an embedded engine, which takes its user for the owner of the process: statements that
change the session (``SET ROLE``), ``INTO OUTFILE``, and the functions of `UNCONTROLLED`. The engine's parser finds
them, and what runs is the text that the parser makes of the statement: there is no second parser to differ from it.
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
"""ClickHouse's own limit (max_query_size)."""

READONLY = 164
ACCESS_DENIED = 497
UNCONTROLLED = frozenset({"file", "python", "arrowstream"})
"""Functions that read files or objects of this process without a grant; refused as names, wherever they stand."""

_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|(`(?:[^`\\]|\\.|``)*`)", re.DOTALL)
_PLAIN = re.compile(r"[^'`\"\x80-\U0010ffff]*")
_WORD = re.compile(r"\w+")


class DeniedError(StoreError):
    """SQL from outside that asks for more than reading our tables; ``code`` is ClickHouse's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


def readable(handle: Any, sql: str) -> str:
    """Return a statement as the engine's parser understands it, if it reads and does nothing else.

    Parameters
    ----------
    handle
        A connection that `restrict` has not reached yet.
    sql
        From outside.

    Raises
    ------
    DeniedError
        If it is more than one statement, no reading one, or names one of `UNCONTROLLED`.
    RuntimeError
        The engine's, if it is no SQL.
    """
    if len(sql.encode()) > MAX_SQL_BYTES:
        raise DeniedError(62, f"the statement is over {MAX_SQL_BYTES:,} bytes; send a shorter one")
    formatted = handle.query(f"SELECT formatQuerySingleLine({quote(sql)}) FORMAT RawBLOB", "RawBLOB").bytes()
    text = bytes(formatted).decode()
    found = handle._conn.classify_query(text)  # noqa: SLF001 - chDB exposes its classifier nowhere else
    if found["query_class"].name != "READ_ONLY" or found["statement_count"] != 1:
        raise DeniedError(
            READONLY, "readers read: send one SELECT, SHOW, DESCRIBE, EXISTS or EXPLAIN without INTO OUTFILE"
        )
    if named := uncontrolled(text):
        raise DeniedError(
            ACCESS_DENIED, f"the name {named} is not for readers: it is a function that reads this machine"
        )
    return text


def uncontrolled(text: str) -> str:
    """Return the first name of `UNCONTROLLED` in a statement that the engine formatted; empty if there is none.

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
        raise DeniedError(ACCESS_DENIED, "the statement holds quotes that are not closed")
    return next((name for name in map(str.lower, [*names, *_WORD.findall(bare)]) if name in UNCONTROLLED), "")


def restrict(handle: Any) -> None:
    """Make a connection the reader's, for good: no statement that `readable` passes takes a role or lifts a limit."""
    limits = ", ".join(f"{name} = {quote(value)}" for name, value in _limits().items())
    # Values come first, because the profile's constraints forbid to set them; readonly comes last, because it forbids
    # to choose a profile.
    for statement in (f"SET {limits}", f"SET ROLE {READER}", f"SET profile = '{READER}'", "SET readonly = 2"):
        handle.query(statement)


@cache
def _limits() -> dict[str, str]:
    """Return the settings of the reader's profile: this engine takes a profile's constraints, but not its values."""
    settings = ET.parse(ACCESS / "users.d" / "roles.xml").findall(f"profiles/{READER}/*")  # noqa: S314 - our own file
    return {of.tag: of.text or "" for of in settings if of.tag not in {"constraints", "readonly"}}


def quote(value: str) -> str:
    r"""Return a string literal of ClickHouse's.

    Examples
    --------
    >>> quote("it's")
    "'it\\'s'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

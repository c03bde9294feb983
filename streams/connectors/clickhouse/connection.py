"""Connections to ClickHouse: a server over HTTP, or the embedded engine in this process."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import StoreError, StoreReason
from schemas.setting_sections import ClickHouseSettings

MIN_VERSION = (25, 8)
"""Minimum version of the server for the migrations; 25.5 does not support DateTime64 in a TTL."""

SEND_RECEIVE_TIMEOUT_S = 60
_VERSION_TIMEOUT_S = 5
_VERSION = re.compile(r"(\d+)\.(\d+)[\d.]*")


def connect(settings: ClickHouseSettings, database: str = "default") -> Client:
    """Open a client.

    Parameters
    ----------
    settings : ClickHouseSettings
        With ``path`` the engine runs in this process; all clients of a process must use the same path.
    database : str
        Default database, which must exist. `migrate` creates ``settings.database``.

    Returns
    -------
    Client
        Blocking client, to be used in a thread. A client serves one thread at a time.

    Raises
    ------
    StoreError
        If ClickHouse does not answer, or if the server is older than `MIN_VERSION`.
    """
    try:
        client = _server(settings, database) if settings.path is None else _engine(settings.path, database)
    except (ClickHouseError, OSError, ValueError) as error:
        # An old server fails on the driver's first queries, so its version is checked before the error is reported.
        if settings.path is None:
            check_version(_server_version(settings), settings)
        raise StoreError(f"{_where(settings)}: {_describe(error, database)}", _reason(error)) from error
    try:
        check_version(client.server_version or "", settings)
    except StoreError:
        client.close()
        raise
    return client


def check_version(version: str, settings: ClickHouseSettings) -> None:
    """Raise `StoreError` if a server is too old; an unknown version format is accepted.

    Examples
    --------
    >>> check_version("26.9.2.1", ClickHouseSettings())
    >>> check_version("18.16.1", ClickHouseSettings())
    Traceback (most recent call last):
        ...
    schemas.errors.StoreError: clickhouse.host=127.0.0.1, clickhouse.port=8123: ClickHouse 18.16.1 is too old; ...
    """
    match = _VERSION.match(version)
    if match and (int(match[1]), int(match[2])) < MIN_VERSION:
        minimum = ".".join(map(str, MIN_VERSION))
        raise StoreError(f"{_where(settings)}: ClickHouse {match[0]} is too old; run {minimum} or newer", "too_old")


def _engine(path: Path, database: str) -> Client:
    from streams.connectors.clickhouse.embedded import OPTIONS  # noqa: PLC0415 - loads 500 MB that a client of a server does not need

    path.mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(interface="chdb", path=str(path), database=database, chdb_options=OPTIONS)


def _server(settings: ClickHouseSettings, database: str) -> Client:
    return clickhouse_connect.get_client(
        host=settings.host,
        port=settings.port,
        secure=settings.secure,
        username=settings.username,
        password=settings.password.get_secret_value(),
        database=database,
        autogenerate_session_id=False,
        send_receive_timeout=SEND_RECEIVE_TIMEOUT_S,
    )


def _server_version(settings: ClickHouseSettings) -> str:
    """Return the version of a server, by a query that all versions understand; empty without an answer."""
    scheme = "https" if settings.secure else "http"
    request = urllib.request.Request(  # noqa: S310 - the scheme is one of these two
        f"{scheme}://{settings.host}:{settings.port}/?query=SELECT+version()",
        headers={"X-ClickHouse-User": settings.username, "X-ClickHouse-Key": settings.password.get_secret_value()},
    )
    try:
        with urllib.request.urlopen(request, timeout=_VERSION_TIMEOUT_S) as answer:  # noqa: S310 - the same
            text: bytes = answer.read(40)
    except (OSError, ValueError):
        return ""
    return text.decode(errors="replace")


def _where(settings: ClickHouseSettings) -> str:
    if settings.path is not None:
        return f"clickhouse.path={settings.path}"
    return f"clickhouse.host={settings.host}, clickhouse.port={settings.port}"


def _describe(error: BaseException, database: str) -> str:
    if "UNKNOWN_DATABASE" in str(error):
        return f"no database {database}; run: streamgauge db migrate"
    root = _root(error)
    return f"no answer ({root}); check that ClickHouse is running" if isinstance(root, OSError) else str(error)


def _reason(error: BaseException) -> StoreReason:
    if "UNKNOWN_DATABASE" in str(error):
        return "missing_database"
    return "unreachable" if isinstance(_root(error), OSError) else "failed"


def _root(error: BaseException) -> BaseException:
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error

"""One way to reach ClickHouse: a server over HTTP, or the same engine in this process."""

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
"""Of the server: the oldest release in which the migrations run; 25.5 knows no DateTime64 in a TTL."""

SEND_RECEIVE_TIMEOUT_S = 60
_VERSION_TIMEOUT_S = 5
_VERSION = re.compile(r"(\d+)\.(\d+)[\d.]*")


def connect(settings: ClickHouseSettings, database: str = "default") -> Client:
    """Open a client.

    Parameters
    ----------
    settings : ClickHouse
        With ``path`` the engine runs in this process, where every client must name the same path.
    database : str
        What unqualified names are looked up in; it must exist, and ours does not before `migrate`.

    Returns
    -------
    Client
        Blocking: call it in a thread. One client serves one thread at a time.

    Raises
    ------
    StoreError
        If nothing answers, or a server that is older than `MIN_VERSION`.
    """
    try:
        client = _server(settings, database) if settings.path is None else _engine(settings.path, database)
    except (ClickHouseError, OSError, ValueError) as error:
        # An old server is met by queries that it cannot answer, so its version is asked for before that is reported.
        if settings.path is None:
            check_version(_asked_version(settings), settings)
        raise StoreError(f"{_where(settings)}: {_told(error, database)}", _reason(error)) from error
    try:
        check_version(client.server_version or "", settings)
    except StoreError:
        client.close()
        raise
    return client


def check_version(version: str, settings: ClickHouseSettings) -> None:
    """Raise `StoreError` if a server is too old; a version that cannot be read is no reason.

    Examples
    --------
    >>> check_version("26.9.2.1", ClickHouseSettings())
    >>> check_version("18.16.1", ClickHouseSettings())
    Traceback (most recent call last):
        ...
    schemas.errors.StoreError: clickhouse.host=127.0.0.1, clickhouse.port=8123: ClickHouse 18.16.1 is too old; ...
    """
    found = _VERSION.match(version)
    if found and (int(found[1]), int(found[2])) < MIN_VERSION:
        least = ".".join(map(str, MIN_VERSION))
        raise StoreError(f"{_where(settings)}: ClickHouse {found[0]} is too old; run {least} or newer", "too_old")


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


def _asked_version(settings: ClickHouseSettings) -> str:
    """Ask a server for its version in the one way that all of them understand; empty if it does not say."""
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


def _told(error: BaseException, database: str) -> str:
    if "UNKNOWN_DATABASE" in str(error):
        return f"no database {database}; run: streamgauge db migrate"
    root = _root(error)
    return f"no answer ({root}); is it running?" if isinstance(root, OSError) else str(error)


def _reason(error: BaseException) -> StoreReason:
    if "UNKNOWN_DATABASE" in str(error):
        return "missing_database"
    return "unreachable" if isinstance(_root(error), OSError) else "failed"


def _root(error: BaseException) -> BaseException:
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error

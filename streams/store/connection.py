"""One way to reach ClickHouse: a server over HTTP, or the same engine in this process."""

from __future__ import annotations

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import StoreError
from schemas.settings import ClickHouse

SEND_RECEIVE_TIMEOUT_S = 60


def connect(settings: ClickHouse, database: str = "default") -> Client:
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
        If nothing answers.
    """
    try:
        if settings.path is not None:
            settings.path.mkdir(parents=True, exist_ok=True)
            return clickhouse_connect.get_client(interface="chdb", path=str(settings.path), database=database)
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
    except (ClickHouseError, OSError) as error:
        where = f"clickhouse.path={settings.path}"
        if settings.path is None:
            where = f"clickhouse.host={settings.host}, clickhouse.port={settings.port}"
        raise StoreError(f"{where}: {_told(error, database)}") from error


def _told(error: BaseException, database: str) -> str:
    if "UNKNOWN_DATABASE" in str(error):
        return f"no database {database}; run: streamgauge db migrate"
    root: BaseException = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    return f"no answer ({root}); is it running?" if isinstance(root, OSError) else str(error)

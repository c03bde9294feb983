"""Schema migrations from numbered SQL files; idempotent."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from string import Template

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import SettingsError, StoreError
from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings

DEDUPLICATION_WINDOW = 100_000
"""Number of parts whose deduplication tokens ClickHouse remembers. An insert of far-dated rows creates up to 2,748
parts, and each partition of a topic may have one insert in progress. With a window of 10,000, four such inserts evicted
tokens that a replay after a crash needed."""
RETENTION = {
    "events": "events_days",
    "alerts": "alerts_days",
    "aggregates_1m": "aggregates_days",
    "dead_letters": "dead_letters_days",
    "feedback": "feedback_days",
    "quality": "quality_days",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOKKEEPING = """CREATE TABLE IF NOT EXISTS ${database}.schema_migrations${on_cluster}
(
    number UInt32 COMMENT 'number of the SQL file',
    name String COMMENT 'name of the SQL file',
    checksum String COMMENT 'SHA-256 of the file before templating'
)
ENGINE = ${replicated}ReplacingMergeTree ORDER BY number COMMENT 'applied SQL files'"""


def migrate(client: Client, settings: Settings) -> list[str]:
    """Apply all pending migrations and set the retention of the tables.

    Parameters
    ----------
    client : Client
        From `streams.connectors.clickhouse.connect`.
    settings : Settings
        Settings with database, cluster and retention.

    Returns
    -------
    list of str
        Names of the applied files; empty if the schema was up to date.

    Raises
    ------
    StoreError
        If a statement fails, or if an applied file has changed.
    """
    values = template_values(settings.clickhouse)
    try:
        client.command(Template("CREATE DATABASE IF NOT EXISTS ${database}${on_cluster}").substitute(values))
        client.command(Template(_BOOKKEEPING).substitute(values))
        applied = _apply_missing(client, values)
        _set_retention(client, settings.clickhouse, values)
    except ClickHouseError as error:
        raise StoreError(f"migration of {settings.clickhouse.database}: {error}") from error
    return applied


def template_values(settings: ClickHouseSettings) -> dict[str, str]:
    """Return the values of the placeholders in the SQL files.

    Examples
    --------
    >>> template_values(ClickHouseSettings(cluster="main"))["on_cluster"]
    " ON CLUSTER 'main'"
    """
    if not _NAME.fullmatch(settings.database):
        raise SettingsError(
            f"clickhouse.database: {settings.database!r} is not a valid name; use letters, digits and _",
            "clickhouse.database",
        )
    if settings.cluster and not re.fullmatch(r"[\w{}-]+", settings.cluster):
        raise SettingsError(
            f"clickhouse.cluster: {settings.cluster!r} is not a valid name; use letters, digits, _, - and {{macros}}",
            "clickhouse.cluster",
        )
    kind = "replicated" if settings.cluster else "non_replicated"
    days = {setting: str(getattr(settings, setting)) for setting in RETENTION.values()}
    return days | {
        "database": settings.database,
        "on_cluster": f" ON CLUSTER '{settings.cluster}'" if settings.cluster else "",
        "replicated": "Replicated" if settings.cluster else "",
        "deduplication": f"{kind}_deduplication_window = {DEDUPLICATION_WINDOW}",
    }


def migration_files() -> list[tuple[int, str, str]]:
    """Return number, name and text of each SQL file, in order."""
    folder = files("schemas") / "sql"
    sql_files = [(f.name, f.read_text()) for f in folder.iterdir() if re.match(r"\d{4}_\w+\.sql$", f.name)]
    return [(int(name[:4]), name, text) for name, text in sorted(sql_files)]


def statements(text: str, values: dict[str, str]) -> list[str]:
    """Return the statements of a file, split at semicolons at the end of a line, with placeholders replaced."""
    parts = re.split(r";[ \t]*(?:\n|$)", text)
    return [Template(part).substitute(values).strip() for part in parts if part.strip()]


def _apply_missing(client: Client, values: dict[str, str]) -> list[str]:
    database = values["database"]
    rows = client.query(f"SELECT number, checksum FROM {database}.schema_migrations FINAL").result_rows  # noqa: S608
    checksums: dict[int, str] = dict(rows)  # type: ignore[arg-type]  # rows of two columns
    applied = []
    for number, name, text in migration_files():
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if number not in checksums:
            for statement in statements(text, values):
                client.command(statement)
            client.insert("schema_migrations", [[number, name, checksum]], ["number", "name", "checksum"], database)
            applied.append(name)
        elif checksums[number] != checksum:
            raise StoreError(
                f"{name}: changed since it was applied to {database}; restore it and add a new migration instead",
                "changed_migration",
                migration=name,
            )
    return applied


def _set_retention(client: Client, settings: ClickHouseSettings, values: dict[str, str]) -> None:
    query = "SELECT create_table_query FROM system.tables WHERE database = {d:String} AND name = {t:String}"
    for table, setting in RETENTION.items():
        days = getattr(settings, setting)
        created = str(client.query(query, parameters={"d": settings.database, "t": table}).result_rows[0][0])
        if f"toIntervalDay({days})" not in created:
            target = f"{settings.database}.{table}{values['on_cluster']}"
            client.command(f"ALTER TABLE {target} MODIFY TTL received_at + INTERVAL {days} DAY")

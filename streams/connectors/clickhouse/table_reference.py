"""Generator of ``docs/contracts/tables.md``: tables, views and columns, read from the engine after the migrations.

``python -m streams.connectors.clickhouse.table_reference`` writes the page.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from clickhouse_connect.driver.client import Client

from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.connectors.clickhouse.migrations import RETENTION, migrate

PAGE = Path(__file__).parents[3] / "docs" / "contracts" / "tables.md"
PERSONAL = {
    "events": ("conversation_id", "user_id", "event", "signals"),
    "alerts": ("summary", "details"),
    "dead_letters": ("key", "raw"),
    "feedback": ("conversation_id", "user_id", "comment"),
}
"""Columns that may contain personal data: identities or texts of people."""

_TABLE_OF = {"alerts_current": "alerts", "aggregates_1h": "aggregates_1m", "events_latest": "events"}
"""Source table by view."""
_VIEW_COLUMNS = {
    "hour": "start of the hour, event time",
    "cost_usd": "sum, in US dollars",
    "latency_p50": "median of latency_ms, within 2 %",
    "latency_p95": "95 % quantile of latency_ms, within 2 %",
    "latency_p99": "99 % quantile of latency_ms, within 2 %",
    "ttft_p50": "median of ttft_ms, within 2 %",
    "ttft_p95": "95 % quantile of ttft_ms, within 2 %",
    "ttft_p99": "99 % quantile of ttft_ms, within 2 %",
}
"""Comments of columns that exist only in views; the engine does not store comments for them."""

_TABLES = """SELECT name, engine, comment, sorting_key FROM system.tables WHERE database = {d:String}
ORDER BY name = 'schema_migrations', engine = 'View', name"""
_COLUMNS = """SELECT name, type, comment FROM system.columns WHERE database = {d:String} AND table = {t:String}
ORDER BY position"""


def tables_reference(client: Client, database: str) -> str:
    """Return the page for a migrated database."""
    rows = [
        "# Tables in ClickHouse",
        "",
        "`streamgauge db migrate` creates these tables in the database `clickhouse.database`; [sql.md](../sql.md) has",
        "example queries. Times are UTC. **P**: may contain personal data. Views follow tables.",
    ]
    about: dict[tuple[str, str], str] = {}
    for name, engine, comment, order in client.query(_TABLES, parameters={"d": database}).result_rows:
        rows += ["", f"## {name}", "", f"{'View' if engine == 'View' else 'Table'}: {comment}."]
        if name in RETENTION:
            rows += ["", f"Sorted by `{order}`; kept for `clickhouse.{RETENTION[name]}`."]
        rows += ["", "| column | | type | description |", "|---|---|---|---|"]
        table = _TABLE_OF.get(str(name), str(name))
        for column, kind, described in client.query(_COLUMNS, parameters={"d": database, "t": name}).result_rows:
            text = str(described) or _VIEW_COLUMNS.get(str(column), "")
            description = about.setdefault((table, str(column)), text).replace("|", r"\|")
            rows.append(f"| {column} | {'P' if column in PERSONAL.get(table, ()) else ''} | `{kind}` | {description} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write ``docs/contracts/tables.md`` from a new, empty store."""
    with TemporaryDirectory() as folder:
        store = ClickHouseSettings(path=Path(folder) / "store")
        client = connect(store)
        try:
            migrate(client, Settings(clickhouse=store))
            PAGE.write_text(tables_reference(client, store.database))
        finally:
            client.close()


if __name__ == "__main__":
    main()

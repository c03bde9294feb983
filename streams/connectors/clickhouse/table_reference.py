"""``docs/contracts/tables.md``: every table, view and column, asked of the engine itself after the migrations.

``python -m streams.connectors.clickhouse.table_reference`` writes it.
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
"""Columns in which there may be who somebody is, or what they wrote."""

_TABLE_OF = {"alerts_current": "alerts", "aggregates_1h": "aggregates_1m", "events_latest": "events"}
"""View to the table whose columns it has."""
_OF_VIEWS = {
    "hour": "start of the hour, event time",
    "cost_usd": "sum, in US dollars",
    "latency_p50": "median of latency_ms, within 2 %",
    "latency_p95": "95 % quantile of latency_ms, within 2 %",
    "latency_p99": "99 % quantile of latency_ms, within 2 %",
    "ttft_p50": "median of ttft_ms, within 2 %",
    "ttft_p95": "95 % quantile of ttft_ms, within 2 %",
    "ttft_p99": "99 % quantile of ttft_ms, within 2 %",
}
"""Columns that only a view has; the engine keeps no comment of these."""

_TABLES = """SELECT name, engine, comment, sorting_key FROM system.tables WHERE database = {d:String}
ORDER BY name = 'schema_migrations', engine = 'View', name"""
_COLUMNS = """SELECT name, type, comment FROM system.columns WHERE database = {d:String} AND table = {t:String}
ORDER BY position"""


def tables_reference(client: Client, database: str) -> str:
    """Return the page, of a database that `migrate` brought up to date."""
    rows = [
        "# Tables in ClickHouse",
        "",
        "Made by `streamgauge db migrate` in the database `clickhouse.database`; what to ask: [sql.md](../sql.md).",
        "Times are UTC. **P**: may hold who somebody is, or what they wrote. Views come after tables.",
    ]
    about: dict[tuple[str, str], str] = {}
    for name, engine, comment, order in client.query(_TABLES, parameters={"d": database}).result_rows:
        rows += ["", f"## {name}", "", f"{'View' if engine == 'View' else 'Table'}: {comment}."]
        if name in RETENTION:
            rows += ["", f"Sorted by `{order}`; kept for `clickhouse.{RETENTION[name]}`."]
        rows += ["", "| column | | type | what |", "|---|---|---|---|"]
        table = _TABLE_OF.get(str(name), str(name))
        for column, kind, described in client.query(_COLUMNS, parameters={"d": database, "t": name}).result_rows:
            said = str(described) or _OF_VIEWS.get(str(column), "")
            what = about.setdefault((table, str(column)), said).replace("|", r"\|")
            rows.append(f"| {column} | {'P' if column in PERSONAL.get(table, ()) else ''} | `{kind}` | {what} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Write it, from an empty store."""
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

"""Report at the end of the demo: incidents, SQL queries with results, exactness checks, connection details."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

from schemas.outputs import Alert
from tools.demo.exactness_checks import Check, RunQuery
from tools.demo.live_view import one_line
from tools.demo.scorecard import Detection, Scorecard
from tools.tail_alerts import sanitised

QUERIES = (
    (
        "Usage and cost per app",
        """SELECT app, count() AS calls, sum(input_tokens) AS tokens_in,
       sum(output_tokens) AS tokens_out, round(sum(cost_usd), 4) AS usd
FROM events GROUP BY app ORDER BY app""",
    ),
    (
        "Attacks on soc-copilot by minute",
        """SELECT formatDateTime(time, '%H:%i') AS minute, count() AS calls,
       countIf(injection_flag) AS flagged, bar(flagged, 0, 10, 20) AS chart
FROM events WHERE app = 'soc-copilot'
GROUP BY minute HAVING flagged > 0 ORDER BY minute LIMIT 10""",
    ),
    (
        "Effect of the advisor's prompt v2 (from aggregates, quantiles within 2 %)",
        """SELECT prompt_version, events AS calls, round(latency_p50) AS p50_ms, round(latency_p95) AS p95_ms,
       round(output_tokens / calls, 1) AS tokens_out, round(1000 * cost_usd / calls, 3) AS usd_per_1000
FROM aggregates_1h WHERE app = 'advisor' ORDER BY hour, prompt_version""",
    ),
)


_SQL = "SELECT app, count() FROM events GROUP BY app"


def show_scorecard(console: Console, scorecard: Scorecard) -> None:
    """Print the incidents with their detections, and the counts of all other alerts."""
    table = Table(title="Incidents and detections", title_justify="left", title_style="bold", expand=True)
    table.add_column("incident", ratio=3)
    table.add_column("app", no_wrap=True)
    table.add_column("start", no_wrap=True)
    table.add_column("detected by", ratio=5)
    table.add_column("delay", justify="right", no_wrap=True)
    for detection in scorecard.detections:
        table.add_row(*_detection_row(detection))
        table.add_section()
    console.print(table)
    console.print(
        f"[bold]{scorecard.detected} of {len(scorecard.detections)}[/bold] incidents detected. Other alerts: "
        f"{len(scorecard.related)} during the same incidents, {len(scorecard.recovery)} on recovery; "
        f"false alarms: {len(scorecard.false_alarms)}."
    )
    for alert in scorecard.false_alarms:
        console.print(Padding(one_line(alert), (0, 2)))


def _detection_row(detection: Detection) -> Iterable[str]:
    incident = detection.incident
    start = _clock(incident.start_ms)
    if detection.alert is None:
        return incident.title, incident.app, start, "[bold red]missed[/bold red]", ""
    alert = f"[green]{detection.alert.rule}[/green]\n[dim]{_summary(detection.alert)}[/dim]"
    delay = f"{detection.events:,} calls\n[dim]{detection.delay_ms / 1000:,.0f} s[/dim]"
    return incident.title, incident.app, start, alert, delay


def _summary(alert: Alert) -> str:
    """Return the summary of an alert without the app, which has its own column."""
    scope = "/".join(alert.segment.values()) + ": "
    return sanitised(alert.summary.removeprefix(scope))


def _clock(ms: int) -> str:
    seconds = ms // 1000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


async def show_queries(console: Console, query: RunQuery) -> None:
    """Run the example queries and print each with its result."""
    for title, sql in QUERIES:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(Padding(Syntax(sql, "sql", theme="ansi_dark", background_color="default"), (0, 2)))
        result = await query(sql)
        console.print(Padding(_rows_table(result.column_names, result.result_rows), (0, 2)))


def _rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for k, name in enumerate(names):
        text = any(isinstance(row[k], str) for row in rows)
        table.add_column(name, justify="left" if text else "right", style="cyan" if text else "")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int | float) else str(v) for v in row))
    return table


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print the comparison of ClickHouse results with the ground truth."""
    console.print(
        "\n[bold]Exactness check[/bold]: each figure is queried from ClickHouse; ok = matches what the simulator sent"
    )
    rows: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        rows.setdefault((check.table, check.measure), []).append(check)
    table = Table(box=None, padding=(0, 2, 0, 0))
    apps = list(dict.fromkeys(c.app for c in checks if c.app))
    for name in ("", "table", "figure", *apps, "all"):
        table.add_column(name, justify="right" if name in {*apps, "all"} else "left", no_wrap=True)
    for (table_name, measure), group in rows.items():
        cells = {c.app: _cell(c) for c in group}
        mark = "[green]ok[/green]" if all(c.ok for c in group) else "[bold red]FAIL[/bold red]"
        table.add_row(mark, table_name, measure, *(cells.get(app, "") for app in [*apps, ""]))
    console.print(Padding(table, (0, 2)), highlight=False)


def _cell(check: Check) -> str:
    actual = "no rows" if check.actual is None else f"{check.actual:,}"
    return actual if check.ok else f"[red]{actual} (sent {check.expected:,})[/red]"


@dataclass(frozen=True, slots=True)
class SqlEndpoint:
    """Port and account of ClickHouse's HTTP interface; the password is generated for each run."""

    port: int
    user: str
    password: str


def show_connections(console: Console, brokers: str, sql: SqlEndpoint, metrics_port: int, *, serving: bool) -> None:
    """Print the connection details for clients."""
    head = "Endpoints, open until Ctrl-C" if serving else "Endpoints that `streamgauge demo --stay` keeps open"
    console.print(f"\n[bold]{head}[/bold]")
    account, address = f"{sql.user}:{sql.password}", f"127.0.0.1:{sql.port}"
    connections = {
        "SQL": f"curl -u {account} http://{address} -d '{_SQL}'",
        "Python": f"clickhouse_connect.get_client(dsn='http://{account}@{address}/streamgauge')",
        "JDBC": f"jdbc:clickhouse://{address}/streamgauge?user={sql.user}&password={sql.password}",
        "Go": f"http://{account}@{address}/streamgauge (Grafana: protocol HTTP)",
        "Kafka": f"kcat -b {brokers} -C -t llm.alerts -o beginning",  # language: ok
        "Alerts": ".venv/bin/streamgauge alerts tail --from-start",
        "Topics": "write llm.events, llm.feedback; read llm.scored, llm.alerts, llm.aggregates",
        "Metrics": f"curl http://127.0.0.1:{metrics_port}/metrics",
    }
    for name, text in connections.items():
        # Lines are copied by users; a table would fold or truncate them.
        console.print(f"  {name:8} {text}", highlight=False, markup=False, soft_wrap=True)


def show_exports(console: Console, brokers: str, sql: SqlEndpoint, events_per_false_alarm: int) -> None:
    """Print the environment variables for another terminal as one line that can be copied."""
    console.print(
        "\nSet these variables in another terminal, for services, `streamgauge` and the examples of docs/integrations:"
    )
    console.print(
        f"export STREAMGAUGE_URL=kafka://{brokers} STREAMGAUGE_KAFKA__BROKERS={brokers} "
        f"STREAMGAUGE_CLICKHOUSE__PORT={sql.port} STREAMGAUGE_CLICKHOUSE__USERNAME={sql.user} "
        f"STREAMGAUGE_CLICKHOUSE__PASSWORD={sql.password} "
        f"STREAMGAUGE_DRIFT__EVENTS_PER_FALSE_ALARM={events_per_false_alarm}",
        highlight=False,
        soft_wrap=True,
    )

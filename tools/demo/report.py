"""What is printed when the hour is over: the incidents, SQL and its results, the checks, how to connect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

from schemas.outputs import Alert
from tools.demo.exactness_checks import Ask, Check
from tools.demo.live_view import one_line
from tools.demo.scorecard import Catch, Verdict
from tools.tail_alerts import shown

QUERIES = (
    (
        "What does each app use, and what does it cost?",
        """SELECT app, count() AS calls, sum(input_tokens) AS tokens_in,
       sum(output_tokens) AS tokens_out, round(sum(cost_usd), 4) AS usd
FROM events GROUP BY app ORDER BY app""",
    ),
    (
        "When was the copilot attacked?",
        """SELECT formatDateTime(time, '%H:%i') AS minute, count() AS calls,
       countIf(injection_flag) AS flagged, bar(flagged, 0, 10, 20) AS chart
FROM events WHERE app = 'soc-copilot'
GROUP BY minute HAVING flagged > 0 ORDER BY minute LIMIT 10""",
    ),
    (
        "What did prompt v2 of the advisor change? (from aggregates, quantiles within 2 %)",
        """SELECT prompt_version, events AS calls, round(latency_p50) AS p50_ms, round(latency_p95) AS p95_ms,
       round(output_tokens / calls, 1) AS tokens_out, round(1000 * cost_usd / calls, 3) AS usd_per_1000
FROM aggregates_1h WHERE app = 'advisor' ORDER BY hour, prompt_version""",
    ),
)


_SQL = "SELECT app, count() FROM events GROUP BY app"


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print the incidents with what caught them, and the alerts beside them."""
    table = Table(title="What happened, and what saw it", title_justify="left", title_style="bold", expand=True)
    table.add_column("incident", ratio=3)
    table.add_column("app", no_wrap=True)
    table.add_column("began", no_wrap=True)
    table.add_column("caught by", ratio=5)
    table.add_column("after", justify="right", no_wrap=True)
    for catch in verdict.catches:
        table.add_row(*_catch_row(catch))
        table.add_section()
    console.print(table)
    console.print(
        f"[bold]{verdict.caught} of {len(verdict.catches)}[/bold] incidents caught. Other alerts: "
        f"{len(verdict.other)} during the same incidents, {len(verdict.after)} as the traffic went back, "
        f"{len(verdict.false)} false."
    )
    for alert in verdict.false:
        console.print(Padding(one_line(alert), (0, 2)))


def _catch_row(catch: Catch) -> Iterable[str]:
    incident = catch.incident
    began = f"{_clock(incident.begin_ms)}"
    if catch.alert is None:
        return incident.title, incident.app, began, "[bold red]missed[/bold red]", ""
    by = f"[green]{catch.alert.rule}[/green]\n[dim]{_finding(catch.alert)}[/dim]"
    after = f"{catch.events:,} calls\n[dim]{catch.delay_ms / 1000:,.0f} s[/dim]"
    return incident.title, incident.app, began, by, after


def _finding(alert: Alert) -> str:
    """Return the sentence without the app, which has a column of its own."""
    where = "/".join(alert.segment.values()) + ": "
    return shown(alert.summary.removeprefix(where))


def _clock(ms: int) -> str:
    seconds = ms // 1000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


async def show_queries(console: Console, ask: Ask) -> None:
    """Run the three queries and print them with what they give."""
    for question, sql in QUERIES:
        console.print(f"\n[bold]{question}[/bold]")
        console.print(Padding(Syntax(sql, "sql", theme="ansi_dark", background_color="default"), (0, 2)))
        found = await ask(sql)
        console.print(Padding(_rows_table(found.column_names, found.result_rows), (0, 2)))


def _rows_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for k, name in enumerate(names):
        text = any(isinstance(row[k], str) for row in rows)
        table.add_column(name, justify="left" if text else "right", style="cyan" if text else "")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int | float) else str(v) for v in row))
    return table


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print what was compared with the truth."""
    console.print("\n[bold]Is it exact?[/bold] Each number is SQL's answer; ok: it equals what the simulator sent")
    rows: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        rows.setdefault((check.table, check.measure), []).append(check)
    table = Table(box=None, padding=(0, 2, 0, 0))
    apps = list(dict.fromkeys(c.app for c in checks if c.app))
    for name in ("", "table", "what", *apps, "all"):
        table.add_column(name, justify="right" if name in {*apps, "all"} else "left", no_wrap=True)
    for (where, measure), found in rows.items():
        cells = {c.app: _cell(c) for c in found}
        mark = "[green]ok[/green]" if all(c.ok for c in found) else "[bold red]FAIL[/bold red]"
        table.add_row(mark, where, measure, *(cells.get(app, "") for app in [*apps, ""]))
    console.print(Padding(table, (0, 2)), highlight=False)


def _cell(check: Check) -> str:
    found = "nothing" if check.found is None else f"{check.found:,}"
    return found if check.ok else f"[red]{found} (sent {check.expected:,})[/red]"


@dataclass(frozen=True, slots=True)
class Sql:
    """How ClickHouse's HTTP interface is reached; the password is of this run."""

    port: int
    user: str
    password: str


def show_ways_in(console: Console, brokers: str, sql: Sql, metrics_port: int, *, serving: bool) -> None:
    """Print how a client connects."""
    head = "These are open until Ctrl-C" if serving else "With `streamgauge demo --stay` these stay open"
    console.print(f"\n[bold]{head}[/bold]")
    account, at = f"{sql.user}:{sql.password}", f"127.0.0.1:{sql.port}"
    ways = {
        "SQL": f"curl -u {account} http://{at} -d '{_SQL}'",
        "Python": f"clickhouse_connect.get_client(dsn='http://{account}@{at}/streamgauge')",
        "JDBC": f"jdbc:clickhouse://{at}/streamgauge?user={sql.user}&password={sql.password}",
        "Go": f"http://{account}@{at}/streamgauge (Grafana: protocol HTTP)",
        "Kafka": f"kcat -b {brokers} -C -t llm.alerts -o beginning",
        "Alerts": ".venv/bin/streamgauge alerts tail --from-start",
        "Topics": "write llm.events, llm.feedback; read llm.scored, llm.alerts, llm.aggregates",
        "Metrics": f"curl http://127.0.0.1:{metrics_port}/metrics",
    }
    for name, way in ways.items():
        # Not in a table, which would fold or cut it: it is pasted.
        console.print(f"  {name:8} {way}", highlight=False, markup=False, soft_wrap=True)


def show_exports(console: Console, brokers: str, sql: Sql, events_per_false_alarm: int) -> None:
    """Print what another terminal needs, on a line of its own: it is pasted."""
    console.print("\nIn another terminal, for services, `streamgauge` and the pages in docs/integrations:")
    console.print(
        f"export STREAMGAUGE_URL=kafka://{brokers} STREAMGAUGE_KAFKA__BROKERS={brokers} "
        f"STREAMGAUGE_CLICKHOUSE__PORT={sql.port} STREAMGAUGE_CLICKHOUSE__USERNAME={sql.user} "
        f"STREAMGAUGE_CLICKHOUSE__PASSWORD={sql.password} "
        f"STREAMGAUGE_DRIFT__EVENTS_PER_FALSE_ALARM={events_per_false_alarm}",
        highlight=False,
        soft_wrap=True,
    )

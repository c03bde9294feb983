"""Progress display of the demo: a live view on a terminal, plain lines otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.outputs import Alert
from tools.tail_alerts import line

LIVE_SQL = """
SELECT app, any(tenant), count(), countIf(error_type != ''), countIf(injection_flag), countIf(hallucination_flag),
       quantile(0.5)(latency_ms), quantile(0.95)(latency_ms), sum(cost_usd)
FROM events GROUP BY app ORDER BY app"""
_COLUMNS = ("app", "tenant", "in ClickHouse", "failed", "injection", "ungrounded", "p50 ms", "p95 ms", "cost $")
_ALERTS_SHOWN = 12
_STEPS = 10


@dataclass(slots=True)
class Progress:
    """Progress of the run."""

    total: int
    sent: int = 0
    clock_ms: int = 0
    backlog: int = 0
    apps: Sequence[Sequence[Any]] = ()
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=_ALERTS_SHOWN))

    @property
    def stored(self) -> int:
        """Number of events in ClickHouse."""
        return sum(row[2] for row in self.apps)


class LiveView:
    """Display of `progress`; a context manager that shows it while the run lasts.

    Parameters
    ----------
    console
        Console to print to.
    total
        Number of records that will be sent.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.progress = Progress(total)
        self._console = console
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4) if _tty(console) else None
        self._step = 0

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def on_alert(self, alert: Alert) -> None:
        """Show an alert."""
        self.progress.alerts.append(alert)
        if self._live is None:
            self._console.print(line(alert), highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        """Print the progress in steps of 10 % if there is no live view."""
        p = self.progress
        step = p.sent * _STEPS // max(p.total, 1)
        if self._live is None and step > self._step:
            self._step = step
            self._console.print(f"{_clock(p)}  {p.sent:,} of {p.total:,} records sent, {p.stored:,} events stored")

    def _render(self) -> RenderableType:
        p = self.progress
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(_clock(p), style="bold"),
            ProgressBar(total=p.total, completed=p.sent, width=34),
            f"{p.sent:,} of {p.total:,} records sent",
            f"lag {p.backlog:,}",
        )
        return Panel(
            Group(head, "", _apps(p), "", *_alert_lines(p)),
            title="streamgauge: one hour of traffic, fast-forward",
            border_style="cyan",
        )


def _tty(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


def _clock(progress: Progress) -> str:
    return f"{datetime.fromtimestamp(progress.clock_ms / 1000, UTC):%H:%M:%S}" if progress.clock_ms else "--:--:--"


def _apps(progress: Progress) -> Table:
    table = Table(box=None, padding=(0, 1), expand=True)
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in {"app", "tenant"} else "right", no_wrap=True)
    for app, tenant, calls, failed, injection, ungrounded, p50, p95, cost in progress.apps:
        table.add_row(
            f"[bold]{app}[/bold]",
            tenant,
            f"{calls:,}",
            f"{failed:,}",
            _flags(injection),
            _flags(ungrounded),
            f"{p50:,.0f}",
            f"{p95:,.0f}",
            f"{cost:.2f}",
        )
    return table


def _flags(count: int) -> str:
    return f"[red]{count:,}[/red]" if count else "0"


def _alert_lines(progress: Progress) -> list[RenderableType]:
    if not progress.alerts:
        return [Text("no alerts yet: the agents are learning their baselines", style="dim")]
    return [one_line(alert) for alert in progress.alerts]


def one_line(alert: Alert) -> Text:
    """Return an alert as one line that is truncated, not wrapped."""
    text = Text.from_markup(line(alert), style="dim" if alert.state == "resolved" else "")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text

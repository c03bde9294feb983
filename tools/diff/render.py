"""Terminal output of a difference."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tools.diff.compare import KINDS, Difference
from tools.diff.episodes import AlertPair, Episode


def render(difference: Difference, console: Console) -> None:
    """Print counts by rule, flags by agent, and each alert that differs."""
    counts = Table("rule", *KINDS, title=f"alerts by rule, {difference.records:,} records")
    for rule, kinds in difference.by_rule().items():
        counts.add_row(rule, *(str(kinds[kind]) for kind in KINDS))
    console.print(counts)
    flags = Table("agent", "old", "new", "appeared", "vanished", title="flagged events by agent")
    for agent, n in sorted(difference.flags.items()):
        if n.old or n.new:
            flags.add_row(agent, str(n.old), str(n.new), str(n.appeared), str(n.vanished))
    if flags.row_count:
        console.print(flags)
    if difference:
        console.print(_alerts(difference))
    else:
        console.print("no alert differs")


def _alerts(difference: Difference) -> Table:
    table = Table("", "rule", "severity", "started", "resolved", "evidence", "summary", title="alerts that differ")
    rows = [(e.started_at, "[green]+[/green]", *_cells(e), e.summary) for e in difference.appeared]
    rows += [(e.started_at, "[red]-[/red]", *_cells(e), e.summary) for e in difference.vanished]
    rows += [(p.old.started_at, "[yellow]~[/yellow]", *_changed_cells(p), p.new.summary) for p in difference.changed]
    for _, *cells in sorted(rows):
        table.add_row(*cells)
    return table


def _cells(episode: Episode) -> tuple[str, ...]:
    return (
        episode.rule,
        episode.severity,
        episode.started_at,
        episode.resolved_at or "still firing",
        f"{len(episode.evidence)} events",
    )


def _changed_cells(pair: AlertPair) -> tuple[str, ...]:
    """Return changed cells as ``old -> new`` and equal cells as they are."""
    cells = [a if a == b else f"{a} -> {b}" for a, b in zip(_cells(pair.old), _cells(pair.new), strict=True)]
    if "evidence" in pair.changed:
        lost = len(set(pair.old.evidence) - set(pair.new.evidence))
        gained = len(set(pair.new.evidence) - set(pair.old.evidence))
        cells[-1] = f"{len(pair.new.evidence)} events (+{gained} -{lost})"
    return tuple(cells)

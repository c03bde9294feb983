"""A difference for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tools.diff.compare import KINDS, Difference
from tools.diff.episodes import Episode, Pair


def render(found: Difference, console: Console) -> None:
    """Print counts by rule, flags by agent, then each alert that differs."""
    counts = Table("rule", *KINDS, title=f"alerts by rule, {found.records:,} records")
    for rule, kinds in found.by_rule().items():
        counts.add_row(rule, *(str(kinds[kind]) for kind in KINDS))
    console.print(counts)
    flags = Table("agent", "old", "new", "appeared", "vanished", title="flagged events by agent")
    for name, of in sorted(found.flags.items()):
        if of.old or of.new:
            flags.add_row(name, str(of.old), str(of.new), str(of.appeared), str(of.vanished))
    if flags.row_count:
        console.print(flags)
    if found:
        console.print(_alerts(found))
    else:
        console.print("the same alerts")


def _alerts(found: Difference) -> Table:
    shown = Table("", "rule", "severity", "fires", "resolves", "evidence", "what", title="alerts that differ")
    rows = [(e.started_at, "[green]+[/green]", *_cells(e), e.summary) for e in found.appeared]
    rows += [(e.started_at, "[red]-[/red]", *_cells(e), e.summary) for e in found.vanished]
    rows += [(p.old.started_at, "[yellow]~[/yellow]", *_both(p), p.new.summary) for p in found.changed]
    for _, *cells in sorted(rows):
        shown.add_row(*cells)
    return shown


def _cells(episode: Episode) -> tuple[str, ...]:
    return (
        episode.rule,
        episode.severity,
        episode.started_at,
        episode.resolved_at or "still firing",
        f"{len(episode.evidence)} events",
    )


def _both(pair: Pair) -> tuple[str, ...]:
    """Write what differs as old -> new, and what does not once."""
    old, new = _cells(pair.old), _cells(pair.new)
    cells = [one if one == other else f"{one} -> {other}" for one, other in zip(old, new, strict=True)]
    if "evidence" in pair.changed:
        lost = len(set(pair.old.evidence) - set(pair.new.evidence))
        gained = len(set(pair.new.evidence) - set(pair.old.evidence))
        cells[-1] = f"{len(pair.new.evidence)} events (+{gained} -{lost})"
    return tuple(cells)

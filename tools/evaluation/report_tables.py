"""Terminal tables of an evaluation report."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.evaluation.detection import DetectionReport, Figures
from tools.evaluation.drift_detection import DriftFigures, DriftReport, Stream
from tools.evaluation.ranking_metrics import DetectionQuality

_MEASURES = ("auc", "average_precision", "tpr_at_1_fpr", "f1", "precision", "recall", "fpr")
_HEADS = ("AUC", "AP", "TPR1%", "F1", "prec.", "rec.", "FPR")


def render(report: DetectionReport | DriftReport, console: Console) -> None:
    """Print a report; the baseline's figures are dimmed below those of the agent."""
    if isinstance(report, DriftReport):
        _render_drift(report, console)
    else:
        _render_detection(report, console)


def _render_detection(report: DetectionReport, console: Console) -> None:
    console.print(_overview(report), "")
    for title, groups in (("source", report.by_src), ("language", report.by_lang), ("role", report.by_role)):
        if groups:
            console.print(_groups(title, groups), "")
    if report.quarters:
        quarters = {f"quarter {k}": figures for k, figures in enumerate(report.quarters, start=1)}
        console.print(_groups("in order", quarters), "")
    positives_only = {name: figures for name, figures in report.by_src.items() if figures.against_benign is not None}
    if positives_only:
        console.print(_positives_only(positives_only), "")
    console.print(_notes(report), style="dim", highlight=False)


def _overview(report: DetectionReport) -> Table:
    table = _table(f"{report.signal}: {report.file}", "", *_COUNTS, *_HEADS, "µs")
    _add(table, "all rows", report.overall)
    means = report.mean_by_source
    if means.sources:
        row = [means.auc, means.average_precision, means.tpr_at_1_fpr, means.f1, None, None, None]
        table.add_row(_name(f"mean of {means.sources} sources"), "", "", *map(number, row))
        table.add_row(_name("  baseline"), "", "", number(means.baseline_auc), style="dim")
    return table


_COUNTS = ("rows", "pos.")


def _groups(title: str, groups: Mapping[str, Figures]) -> Table:
    table = _table(None, title, *_COUNTS, *_HEADS, "µs")
    for name in groups:
        _add(table, name, groups[name])
    return table


def _add(table: Table, name: str, figures: Figures) -> None:
    counts = (f"{figures.n:,}", f"{figures.positives:,}")
    table.add_row(_name(name), *counts, *_measures(figures), number(figures.us_per_event))
    if figures.without_feedback is not None:
        _add_dim(table, "no feedback", figures.without_feedback)
    _add_dim(table, "baseline", figures.baseline)


def _add_dim(table: Table, name: str, quality: DetectionQuality) -> None:
    table.add_row(_name(f"  {name}"), "", "", *_measures(quality), "", style="dim")


def _measures(quality: DetectionQuality) -> list[str]:
    return [number(getattr(quality, name)) for name in _MEASURES]


def _positives_only(groups: Mapping[str, Figures]) -> Table:
    table = _table(None, "label 1 only, against benign", "rows", "benign", "AUC", "AP", "TPR1%")
    for name, figures in groups.items():
        if (comparison := figures.against_benign) is not None:
            measures = map(number, (comparison.auc, comparison.average_precision, comparison.tpr_at_1_fpr))
            table.add_row(_name(name), f"{figures.n:,}", f"{comparison.n:,}", *measures)
    return table


def _notes(report: DetectionReport) -> str:
    notes = [
        "pos.: rows with label 1. TPR1%: recall at 1 % false positives. µs: microseconds per event.",
        f"F1, precision, recall and FPR: at the shipped threshold ({number(report.threshold)}).",
    ]
    if report.overall.unscored:
        notes.append(f"{report.overall.unscored:,} rows had no text to score; they rank last and are not flagged.")
    if any(figures.against_benign for figures in report.by_src.values()):
        notes.append("Sources with label 1 only are compared with all benign rows of their roles.")
    if report.feedback:
        notes.append(
            f"{report.labels_given:,} labels fed back after scoring, {report.labels_learned:,} learned "
            f"(fraction {report.feedback:g}, seed {report.seed}, file order)."
        )
    return " ".join(notes)


def _render_drift(report: DriftReport, console: Console) -> None:
    heads = ("streams", "rows", "change", "detected", "mean", "median", "false", "events/false", "µs")
    summary = _table(f"drift: {report.file}", "", *heads)
    _add_total(summary, "all", report.overall)
    for kind, figures in report.by_kind.items():
        _add_total(summary, kind, figures)
    console.print(summary, "")
    streams = _table(None, "stream", "rows", "kind", "change at", "delay", "false", "later", "alarms")
    for name, stream in report.streams.items():
        _add_stream(streams, name, stream)
    console.print(streams, "")
    note = (
        "delay: events from the change to the first alarm; later: alarms after the first one. "
        f"Target: {report.target_events_per_false_alarm:,} events per false alarm; "
        f"reference: {report.reference_events:,} events."
    )
    console.print(note, style="dim", highlight=False)


def _add_total(table: Table, name: str, figures: DriftFigures) -> None:
    counts = (figures.streams, figures.n, figures.with_change, figures.detected)
    delays = (figures.mean_delay, figures.median_delay)
    false = (figures.false_alarms, figures.events_per_false_alarm, figures.us_per_event)
    table.add_row(_name(name), *map(number, (*counts, *delays, *false)))


def _add_stream(table: Table, name: str, stream: Stream) -> None:
    alarms = ", ".join(f"{i} {signal}" for i, signal in zip(stream.alarms, stream.signals, strict=True))
    figures = map(number, (stream.change_at, stream.delay, stream.false_alarms, stream.later_alarms))
    table.add_row(_name(name), number(stream.n), stream.kind, *figures, alarms)


def _table(title: str | None, first: str, *rest: str) -> Table:
    """Return a table for 80 columns; it may truncate names, but not figures."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    table.padding, table.show_edge = (0, 1, 0, 0), False
    table.add_column(first, style="cyan")
    for name in rest:
        is_text = name in {"kind", "alarms"}
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _name(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def number(value: float | None) -> str:
    """Format a figure with three digits, and integers in full.

    Examples
    --------
    >>> number(0.12345), number(1234), number(1234.5), number(48.25), number(None)
    ('0.123', '1,234', '1,234', '48.2', '-')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"

"""Sections and targets of the parts with a module of their own and ``measure(data)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.markdown import nested, number, table

AGENT = "streamgauge"
_NOT_DETECTED = -1.0


def drift_matched(f: Mapping[str, Any]) -> list[str]:
    """Return the median delays by method at one false-alarm rate, one table for each kind of stream."""
    target = f"{f['events_per_false_alarm_at_least']:,}"
    lines = [
        (
            f"Each method is at its most sensitive setting with at most one false alarm in {target} events without a "
            f"change. Median delay in events over {f['runs']} runs; runs that missed the change in brackets."
        )
    ]
    for kind, methods in f["kinds"].items():
        cases = list(next(iter(methods.values()))["delays"])
        rows = (
            (n, m["false_alarms"], m["events"], *(_delay(m["delays"][c]) for c in cases)) for n, m in methods.items()
        )
        lines += ["", f"### {kind}", "", *table(("method", "false alarms", "in events", *cases), rows)]
    return lines


def _delay(figures: Mapping[str, float]) -> str:
    median = "not detected" if figures["median"] == _NOT_DETECTED else f"{figures['median']:.0f}"
    return median + (f" ({figures['missed']:.0f})" if figures["missed"] else "")


def drift_causes(f: Mapping[str, Any]) -> list[str]:
    """Return the number of correct first causes by incident, with the first alarm of the first run."""
    rows = (
        (
            kind,
            f"{k['correct']} of {k['of']}",
            ", ".join(str(d) if d >= 0 else "not detected" for d in k["delays"]),
            k["first_alarms"][0],
        )
        for kind, k in f["kinds"].items()
    )
    return [
        f"Correct first cause in {f['correct']} of {f['of']} simulated incidents; {f['other_alarms']} other alarms.",
        "",
        *table(("incident", "correct", "delays, events of the tenant", "first alarm, first run"), rows),
    ]


SECTIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Sequence[str]]]] = {
    "context": ("Context: attacks over turns, obeyed instructions, campaigns", nested),
    "learning": ("Learning: poisoned, contradictory and missing labels", nested),
    "drift_matched": ("Drift: delay at equal false-alarm rates", drift_matched),
    "drift_causes": ("Drift: cause reported first", drift_causes),
}
"""Title and renderer of each module's section."""


def full_change(figures: Any) -> tuple[str, bool]:
    """Return the agent's delays on the texts of the drift streams, and whether they meet the targets."""
    delays = figures["kinds"]["texts"][AGENT]["delays"]
    targets = [("all texts", "all texts of another kind", 15), ("30 %", "30 % of another kind", 120)]
    targets.append(("10 %", "10 % of another kind", 600))
    text = ", ".join(f"{name} {_delay(delays[case])}" for name, case, _ in targets)
    return text, all(_NOT_DETECTED < delays[case]["median"] <= limit for _, case, limit in targets)


def causes(figures: Any) -> tuple[str, bool]:
    """Return the fraction of incidents with a correct first cause, and whether it meets the target."""
    silent = figures["kinds"]["silent provider change"]
    text = f"{figures['correct']} of {figures['of']} ({number(figures['share'])}); silent provider change "
    return text + f"{silent['correct']} of {silent['of']}", figures["share"] >= 0.9

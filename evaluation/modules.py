"""Sections and targets of the parts that are modules of their own with ``measure(data)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.markdown import nested, number, table

OURS = "ours"
_NEVER = -1.0


def drift_matched(f: Mapping[str, Any]) -> list[str]:
    """Median delays by method at one false-alarm rate, a table for each kind of stream."""
    asked = f"{f['events_per_false_alarm_at_least']:,}"
    lines = [
        (
            f"Each method at its most sensitive setting with at most one false alarm in {asked} events "
            f"without a change. Median delay in events over {f['runs']} runs; in brackets "
            "the runs that missed the change."
        )
    ]
    for kind, methods in f["kinds"].items():
        cases = list(next(iter(methods.values()))["delays"])
        rows = (
            (n, m["false_alarms"], m["events"], *(_delay(m["delays"][c]) for c in cases)) for n, m in methods.items()
        )
        lines += ["", f"### {kind}", "", *table(("method", "false alarms", "in events", *cases), rows)]
    return lines


def _delay(found: Mapping[str, float]) -> str:
    median = "not seen" if found["median"] == _NEVER else f"{found['median']:.0f}"
    return median + (f" ({found['missed']:.0f})" if found["missed"] else "")


def drift_causes(f: Mapping[str, Any]) -> list[str]:
    """Return by incident how often the first cause is right, with the causes of the first run."""
    rows = (
        (
            kind,
            f"{k['right']} of {k['of']}",
            ", ".join(str(d) if d >= 0 else "not seen" for d in k["delays"]),
            k["said"][0],
        )
        for kind, k in f["kinds"].items()
    )
    return [
        f"The right cause first in {f['right']} of {f['of']} simulated incidents; {f['other_alarms']} other alarms.",
        "",
        *table(("incident", "right", "delays, events of the tenant", "reported cause, first run"), rows),
    ]


SECTIONS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Sequence[str]]]] = {
    "context": ("Context: attacks over turns, obeyed orders, campaigns", nested),
    "learning": ("Learning: poisoned, contradictory and missing labels", nested),
    "drift_matched": ("Drift: delay at equal false-alarm rates", drift_matched),
    "drift_causes": ("Drift: the reported cause", drift_causes),
}
"""Title of each module's section, and what writes it."""


def full_change(figures: Any) -> tuple[str, bool]:
    """Delays of the agent on the texts of the drift streams."""
    found = figures["kinds"]["texts"][OURS]["delays"]
    wanted = [("all texts", "all texts of another kind", 15), ("30 %", "30 % of another kind", 120)]
    wanted.append(("10 %", "10 % of another kind", 600))
    text = ", ".join(f"{name} {_delay(found[case])}" for name, case, _ in wanted)
    return text, all(_NEVER < found[case]["median"] <= most for _, case, most in wanted)


def causes(figures: Any) -> tuple[str, bool]:
    """Share of incidents whose right cause is first."""
    silent = figures["kinds"]["silent provider change"]
    text = f"{figures['right']} of {figures['of']} ({number(figures['share'])}); silent provider change "
    return text + f"{silent['right']} of {silent['of']}", figures["share"] >= 0.9

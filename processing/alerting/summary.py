"""One sentence for the on-call engineer."""

from __future__ import annotations

from collections.abc import Mapping

from agents.base import ChangePoint
from agents.drift.layout import FLAGS, USUAL
from schemas.rules import Rule

_SHARES = frozenset(f"drift.{name}" for name in (*FLAGS, *USUAL))
RATE = ".rate"
"""What the signals of rates of flags end with; before it is the name of the agent that flags."""

_TOLD = 0.2
"""Least that a slice's share moves to be told; by less it does by chance, of the few calls since a begin."""


def summarise_value(rule: Rule, segment: Mapping[str, str], value: float, n: int) -> str:
    """Say what a window or an event showed."""
    where = "/".join(segment.values())
    if rule.type == "event":
        return f"{where}: {rule.metric} {value:.3g} in one event (above {rule.threshold:g})"
    window = f"the last {rule.window_s} s ({n} events)"
    if rule.type == "rate":
        return f"{where}: {rule.metric} in {value:.1%} of {window}, above {rule.threshold:.1%}"
    if rule.type == "quantile":
        return f"{where}: p{100 * (rule.q or 0):g} of {rule.metric} {value:.4g} over {window}, above {rule.threshold:g}"
    return f"{where}: {value:g} times {rule.metric} in {window}, above {rule.threshold:g}"


def summarise_change(change: ChangePoint) -> str:
    """Say what moved, from where to where, in which words and slices."""
    where = "/".join(change.segment.values())
    if change.summary:
        return f"{where}: {change.summary}"
    if change.signal.endswith(RATE) or change.signal in _SHARES:
        text = f"{where}: {change.signal} moved from {change.before:.1%} to {change.after:.1%}"
    else:
        text = f"{where}: {change.signal} moved from {change.before:.4g} to {change.after:.4g}"
    if change.causes:
        text += f"; likely {change.causes[0]}"
    if change.terms_gained:
        text += f"; more of: {', '.join(change.terms_gained[:5])}"
    if change.terms_lost:
        text += f"; less of: {', '.join(change.terms_lost[:5])}"
    if change.slices and not change.causes:  # a cause has numbers of its own, of the latest calls
        name, (before, after) = max(change.slices.items(), key=lambda item: abs(item[1][1] - item[1][0]))
        if abs(after - before) >= _TOLD:
            text += f"; {name} went from {before:.0%} to {after:.0%} of events"
    return text


def summarise_resolved(rule: Rule, summary: str) -> str:
    """Say of an alert that ends what its end means."""
    if rule.type == "change":
        return f"{summary}; nothing new for {rule.window_s} s, which does not say that it is over"
    return summary


def details(change: ChangePoint) -> dict[str, object]:
    """Return what a change alert carries beside its sentence."""
    return {
        "before": change.before,
        "after": change.after,
        "score": change.score,
        "since_offset": change.since_offset,
        "terms_gained": list(change.terms_gained),
        "terms_lost": list(change.terms_lost),
        "causes": list(change.causes),
        "slices": {name: list(shares) for name, shares in change.slices.items()},
        **change.facts,
    }

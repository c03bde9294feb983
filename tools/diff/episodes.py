"""Alerts as episodes from firing to resolved, and the matching of episodes of two versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_STILL_FIRING = "9999"
"""Sorts after every timestamp; timestamps of one format sort as text."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of a rule and its end, if it ended within the event log.

    Attributes
    ----------
    resolved_at
        Event time of the end, None while the alert fires.
    evidence
        Event ids: all collected ones of a resolved alert, the first ones of a firing alert.
    """

    alert_id: str
    fingerprint: str
    rule: str
    severity: str
    signal: str
    segment: dict[str, str]
    summary: str
    value: float
    started_at: str
    resolved_at: str | None
    evidence: tuple[str, ...]
    source_partition: int

    @property
    def end(self) -> str:
        """End of the episode as comparable text."""
        return self.resolved_at or _STILL_FIRING


@dataclass(frozen=True, slots=True)
class AlertPair:
    """An alert in both versions and the names of the changed fields."""

    old: Episode
    new: Episode
    changed: tuple[str, ...]


class Episodes:
    """Collector of the state changes of one version's alerts."""

    def __init__(self) -> None:
        self._of: dict[str, Episode] = {}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows in the order of the pipeline's output; the latest state of an alert replaces earlier ones."""
        for row in rows:
            self._of[row["alert_id"]] = Episode(
                **{name: row[name] for name in Episode.__dataclass_fields__ if name in row and name != "evidence"},
                resolved_at=row["changed_at"] if row["state"] == "resolved" else None,
                evidence=tuple(row["evidence"]),
            )

    def all(self) -> list[Episode]:
        """Return the episodes ordered by start time."""
        return sorted(self._of.values(), key=lambda e: (e.started_at, e.alert_id))


def match(old: Sequence[Episode], new: Sequence[Episode]) -> Iterator[tuple[Episode | None, Episode | None]]:
    """Pair the episodes of two versions; an episode without a counterpart is paired with None.

    Episodes triggered by the same event match. The remaining episodes match if they have the same rule, signal, segment
    and partition and their times overlap, the earliest first.
    """
    by_id = {e.alert_id: e for e in new}
    unmatched: list[Episode] = []
    for episode in old:
        if (counterpart := by_id.pop(episode.alert_id, None)) is not None:
            yield episode, counterpart
        else:
            unmatched.append(episode)
    candidates: dict[str, list[Episode]] = defaultdict(list)
    for episode in by_id.values():
        candidates[episode.fingerprint].append(episode)
    for episode in unmatched:
        group = candidates[episode.fingerprint]
        index = next((i for i, candidate in enumerate(group) if _overlap(episode, candidate)), None)
        yield episode, None if index is None else group.pop(index)
    for group in candidates.values():
        for episode in group:
            yield None, episode


def changed_fields(old: Episode, new: Episode) -> tuple[str, ...]:
    """Return the names of the fields that differ: ``time``, ``severity``, ``evidence``."""
    differs = {
        "time": (old.started_at, old.resolved_at) != (new.started_at, new.resolved_at),
        "severity": old.severity != new.severity,
        "evidence": old.evidence != new.evidence,
    }
    return tuple(name for name, differing in differs.items() if differing)


def _overlap(old: Episode, new: Episode) -> bool:
    return old.started_at <= new.end and new.started_at <= old.end

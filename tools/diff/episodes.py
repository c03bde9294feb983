"""Alerts as episodes, from firing to resolved, and which of two versions belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_STILL_FIRING = "9999"
"""After every time: as text, times of one format are in order."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of a rule, and its end where there was one by the end of the history.

    Attributes
    ----------
    resolved_at
        Event time, None while it fires.
    evidence
        Event ids: all that were collected by its end, the first where it still fires.
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
        """Its end as text that can be compared."""
        return self.resolved_at or _STILL_FIRING


@dataclass(frozen=True, slots=True)
class Pair:
    """One alert in both versions, and in what it differs."""

    old: Episode
    new: Episode
    changed: tuple[str, ...]


class Episodes:
    """Collects the changes of state of one version's alerts."""

    def __init__(self) -> None:
        self._of: dict[str, Episode] = {}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take rows in the order in which a pipeline gave them; the later state of an alert stays."""
        for row in rows:
            self._of[row["alert_id"]] = Episode(
                **{name: row[name] for name in Episode.__dataclass_fields__ if name in row and name != "evidence"},
                resolved_at=row["changed_at"] if row["state"] == "resolved" else None,
                evidence=tuple(row["evidence"]),
            )

    def all(self) -> list[Episode]:
        """Return the episodes by time."""
        return sorted(self._of.values(), key=lambda e: (e.started_at, e.alert_id))


def match(old: Sequence[Episode], new: Sequence[Episode]) -> Iterator[tuple[Episode | None, Episode | None]]:
    """Pair the episodes of two versions; what has no counterpart comes with None.

    Those that the same event set off belong together; of the rest, those of the same rule, signal, segment and
    partition whose times overlap, the earliest first.
    """
    by_id = {e.alert_id: e for e in new}
    rest: list[Episode] = []
    for episode in old:
        if (counterpart := by_id.pop(episode.alert_id, None)) is not None:
            yield episode, counterpart
        else:
            rest.append(episode)
    free: dict[str, list[Episode]] = defaultdict(list)
    for episode in by_id.values():
        free[episode.fingerprint].append(episode)
    for episode in rest:
        others = free[episode.fingerprint]
        at = next((i for i, other in enumerate(others) if _overlap(episode, other)), None)
        yield episode, None if at is None else others.pop(at)
    for others in free.values():
        for other in others:
            yield None, other


def changes(old: Episode, new: Episode) -> tuple[str, ...]:
    """Return in what two episodes differ: ``time``, ``severity``, ``evidence``."""
    differs = {
        "time": (old.started_at, old.resolved_at) != (new.started_at, new.resolved_at),
        "severity": old.severity != new.severity,
        "evidence": old.evidence != new.evidence,
    }
    return tuple(name for name, differing in differs.items() if differing)


def _overlap(one: Episode, other: Episode) -> bool:
    return one.started_at <= other.end and other.started_at <= one.end

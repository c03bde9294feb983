"""Process one event log with two versions of the settings and compare the alerts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from processing.pipeline import Outputs, PartitionPipeline, Record, ScoredChunk
from schemas.settings import Settings
from streams.runtime.registry import build_pipeline
from streams.worker.warmup import warm
from tools.diff.episodes import AlertPair, Episode, Episodes, changed_fields, match
from tools.replay import Log, dispatch_lines


@dataclass(slots=True)
class FlagCounts:
    """Events that an agent flagged: in the old version, in the new one, in the new one only, in the old one only."""

    old: int = 0
    new: int = 0
    appeared: int = 0
    vanished: int = 0


@dataclass(slots=True)
class Difference:
    """Differences between the alerts of two versions on one event log.

    Attributes
    ----------
    records, malformed
        Lines read, and malformed lines.
    same
        Number of alerts that are equal in both versions, by rule.
    appeared, vanished, changed
        Alerts of the new version only, alerts of the old version only, and alerts of both that differ, by event time.
    flags
        Flagged events by agent.
    """

    records: int = 0
    malformed: int = 0
    same: Counter[str] = field(default_factory=Counter)
    appeared: list[Episode] = field(default_factory=list)
    vanished: list[Episode] = field(default_factory=list)
    changed: list[AlertPair] = field(default_factory=list)
    flags: dict[str, FlagCounts] = field(default_factory=lambda: defaultdict(FlagCounts))

    def __bool__(self) -> bool:
        """Return True if any alert differs."""
        return bool(self.appeared or self.vanished or self.changed)

    def by_rule(self) -> dict[str, dict[str, int]]:
        """Return the number of alerts by rule and kind (see `KINDS`)."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
        for rule, n in self.same.items():
            counts[rule]["same"] += n
        for kind, episodes in (("appeared", self.appeared), ("vanished", self.vanished)):
            for episode in episodes:
                counts[episode.rule][kind] += 1
        for pair in self.changed:
            counts[pair.old.rule]["changed"] += 1
        return dict(sorted(counts.items()))

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as JSON-serialisable values."""
        return {
            "differs": bool(self),
            "records": self.records,
            "malformed": self.malformed,
            "rules": self.by_rule(),
            "appeared": [asdict(e) for e in self.appeared],
            "vanished": [asdict(e) for e in self.vanished],
            "changed": [asdict(p) for p in self.changed],
            "flags": {name: asdict(f) for name, f in sorted(self.flags.items())},
        }


KINDS = ("same", "appeared", "vanished", "changed")


def diff(
    files: list[Path], old: Settings, new: Settings, progress: Callable[[int], object] = lambda _: None
) -> Difference:
    """Process every line with both versions, each starting without state, and compare the alerts.

    Both versions use the partition count of the old one (``kafka.partitions``). The partition is part of an alert's
    identity, so a different count would make every alert differ.
    """
    warm(old)
    difference = Difference()
    old_version, new_version = _Version(old), _Version(new)

    def process(partition: int, records: Sequence[Record]) -> None:
        old_outputs, new_outputs = old_version.process(partition, records), new_version.process(partition, records)
        _count_flags(old_outputs, new_outputs, difference.flags)

    read = dispatch_lines(files, Log(old.kafka.partitions), process, progress)
    difference.records, difference.malformed = read.records, read.malformed
    for old_episode, new_episode in match(old_version.alerts.all(), new_version.alerts.all()):
        _classify(difference, old_episode, new_episode)
    difference.appeared.sort(key=lambda e: (e.started_at, e.alert_id))
    return difference


class _Version:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipelines: dict[int, PartitionPipeline] = {}
        self.alerts = Episodes()

    def process(self, partition: int, records: Sequence[Record]) -> Outputs:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        outputs = self._pipelines[partition].process(records)
        self.alerts.add(outputs.alerts)
        return outputs


def _classify(difference: Difference, old: Episode | None, new: Episode | None) -> None:
    if old is not None and new is not None:
        if changed := changed_fields(old, new):
            difference.changed.append(AlertPair(old, new, changed))
        else:
            difference.same[old.rule] += 1
    elif old is not None:
        difference.vanished.append(old)
    elif new is not None:
        difference.appeared.append(new)


def _count_flags(old: Outputs, new: Outputs, flags: dict[str, FlagCounts]) -> None:
    old_by_agent, new_by_agent = _flagged(old), _flagged(new)
    for agent in sorted(old_by_agent.keys() | new_by_agent.keys()):
        old_events, new_events = old_by_agent.get(agent, set()), new_by_agent.get(agent, set())
        counts = flags[agent]
        counts.old += len(old_events)
        counts.new += len(new_events)
        counts.appeared += len(new_events - old_events)
        counts.vanished += len(old_events - new_events)


def _flagged(outputs: Outputs) -> dict[str, set[tuple[int, str]]]:
    """Return the flagged events by agent, each as offset and event id."""
    flagged: dict[str, set[tuple[int, str]]] = {}
    for step in outputs.steps:
        if isinstance(step, ScoredChunk):
            ids = list(zip(step.chunk.offsets.tolist(), (e.event_id for e in step.chunk.events), strict=True))
            for name, signals in step.signals.items():
                indices = (i for i, signal in enumerate(signals) if getattr(signal, "flag", False))
                flagged.setdefault(name, set()).update(ids[i] for i in indices)
    return flagged

"""One history through two versions at once."""

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
from tools.diff.episodes import Episode, Episodes, Pair, changes, match
from tools.replay import Log, deal


@dataclass(slots=True)
class Flags:
    """How many events an agent flagged: in either version, in the second only, in the first only."""

    old: int = 0
    new: int = 0
    appeared: int = 0
    vanished: int = 0


@dataclass(slots=True)
class Difference:
    """What two versions say of one history.

    Attributes
    ----------
    records, bad
        Lines read, and those of them that are no record.
    same
        Alerts that both versions raise, alike.
    appeared, vanished, changed
        Alerts of the second only, of the first only, and of both but not alike; by event time.
    flags
        By agent.
    """

    records: int = 0
    bad: int = 0
    same: Counter[str] = field(default_factory=Counter)
    appeared: list[Episode] = field(default_factory=list)
    vanished: list[Episode] = field(default_factory=list)
    changed: list[Pair] = field(default_factory=list)
    flags: dict[str, Flags] = field(default_factory=lambda: defaultdict(Flags))

    def __bool__(self) -> bool:
        """Whether any alert differs."""
        return bool(self.appeared or self.vanished or self.changed)

    def by_rule(self) -> dict[str, dict[str, int]]:
        """Return counts by rule and what became of its alerts."""
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
        """Return all of it as JSON-able values."""
        return {
            "differs": bool(self),
            "records": self.records,
            "bad": self.bad,
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
    """Judge every line with both versions, from their beginning, and compare the alerts.

    The lines are given to partitions as the first version's ``kafka.partitions`` would: how many there are is part of
    every alert's identity, and no matter of detection.
    """
    warm(old)
    found = Difference()
    first, second = _Version(old), _Version(new)

    def judge(partition: int, records: Sequence[Record]) -> None:
        _count_flags(first.judge(partition, records), second.judge(partition, records), found.flags)

    read = deal(files, Log(old.kafka.partitions), judge, progress)
    found.records, found.bad = read.records, read.bad
    for one, other in match(first.alerts.all(), second.alerts.all()):
        _file(found, one, other)
    found.appeared.sort(key=lambda e: (e.started_at, e.alert_id))
    return found


class _Version:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipelines: dict[int, PartitionPipeline] = {}
        self.alerts = Episodes()

    def judge(self, partition: int, records: Sequence[Record]) -> Outputs:
        if partition not in self._pipelines:
            self._pipelines[partition] = build_pipeline(partition, self._settings)
        out = self._pipelines[partition].process(records)
        self.alerts.add(out.alerts)
        return out


def _file(found: Difference, one: Episode | None, other: Episode | None) -> None:
    if one is not None and other is not None:
        if changed := changes(one, other):
            found.changed.append(Pair(one, other, changed))
        else:
            found.same[one.rule] += 1
    elif one is not None:
        found.vanished.append(one)
    elif other is not None:
        found.appeared.append(other)


def _count_flags(first: Outputs, second: Outputs, flags: dict[str, Flags]) -> None:
    old, new = _flagged(first), _flagged(second)
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name, set()), new.get(name, set())
        of = flags[name]
        of.old += len(was)
        of.new += len(is_)
        of.appeared += len(is_ - was)
        of.vanished += len(was - is_)


def _flagged(out: Outputs) -> dict[str, set[tuple[int, str]]]:
    """Return the flagged events of a run by agent, each by its offset and id."""
    flagged: dict[str, set[tuple[int, str]]] = {}
    for step in out.steps:
        if isinstance(step, ScoredChunk):
            ids = list(zip(step.chunk.offsets.tolist(), (e.event_id for e in step.chunk.events), strict=True))
            for name, signals in step.signals.items():
                which = (i for i, said in enumerate(signals) if getattr(said, "flag", False))
                flagged.setdefault(name, set()).update(ids[i] for i in which)
    return flagged

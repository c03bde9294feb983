"""The second version of one partition: it follows what the first has judged, and cannot touch it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

from agents.base import Agent, Chunk, State
from processing.alerting import AlertEngine
from processing.alerting.engine import restrict_to_rules
from processing.pipeline import ScoredChunk
from schemas.errors import StateError
from schemas.feedback import Feedback
from schemas.rules import Rule
from streams.runtime.logs import describe
from streams.runtime.metrics import (
    SHADOW_ALERTS,
    SHADOW_ERRORS,
    SHADOW_EVENTS,
    SHADOW_FLAGS,
    SHADOW_RUNNING,
    SHADOW_SECONDS,
)
from streams.runtime.registry import CORE_VERSIONS, build_agents
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from streams.shadow.config import Plan

log = logging.getLogger(__name__)
T = TypeVar("T")
Row = dict[str, Any]

PART = "shadow"
"""Its name in the worker's snapshot."""
_COMPARED = ("severity", "evidence", "change_started_at")
"""What makes two states of one alert differ; the summary and the threshold repeat the rule."""


class Shadow:
    """Runs the plan's agents and rules on what the first version has judged, after it.

    An agent that both versions build alike is not run again: the shadow's rules see what the first said. An agent that
    differs begins cold, as do rules that differ; rules that do not take over the windows and alerts at hand.

    Whatever goes wrong in here is counted and logged, and ends this shadow, and nothing else: no method raises.

    Parameters
    ----------
    partition
        The source partition.
    plan
        The second version.
    primary
        The rules of the first, by name.
    """

    def __init__(self, partition: int, plan: Plan, primary: Mapping[str, Rule]) -> None:
        self.partition = partition
        self.plan = plan
        self.running = True
        self._primary = primary
        self._agents: list[Agent] = []
        SHADOW_RUNNING.labels(str(partition)).set(1)
        self._alone("build", self._build, None)

    def follow(self, steps: Sequence[ScoredChunk | Feedback], alerts: Sequence[Row]) -> list[Row]:
        """Judge what the first version has judged.

        Parameters
        ----------
        steps
            Chunks and labels, in order.
        alerts
            The changes of state that the first version's rules made of them.

        Returns
        -------
        list of dict
            Findings, as `schemas.outputs.ShadowFinding` has them.
        """
        begin = time.perf_counter()
        nothing: list[Row] = []
        found = self._alone("judge", lambda: self._findings(steps, alerts), nothing)
        SHADOW_SECONDS.inc(time.perf_counter() - begin)
        return found

    def state(self) -> dict[str, State]:
        """Return copies of what is needed to continue, by part."""
        return self._alone("state", self._state, {})

    def packed(self, parts: Mapping[str, State], offset: int) -> dict[str, State]:
        """Return `state` as one part of the worker's snapshot; may run in a thread.

        Packed here, because a state that cannot be packed would take the first version's snapshot with it.
        """
        return self._alone("state", lambda: self._packed(parts, offset), {})

    def restore(self, kept: State | None, alerts: State) -> None:
        """Continue from what `packed` made; without one of this plan, take over what the first version's rules hold."""
        self._alone("restore", lambda: self._restore(kept, alerts), None)

    def _build(self) -> None:
        self._agents = build_agents(self.plan.settings, self.plan.second)
        self._alerts = AlertEngine(self.plan.rules, self.partition)

    def _alone(self, what: str, work: Callable[[], T], otherwise: T) -> T:
        if not self.running:
            return otherwise
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the first version goes on
            log.error("partition %d: shadow %s stops: %s", self.partition, self.plan.name, describe(error))
            self.running = False
            SHADOW_ERRORS.labels(what).inc()
            SHADOW_RUNNING.labels(str(self.partition)).set(0)
            return otherwise

    def _findings(self, steps: Sequence[ScoredChunk | Feedback], alerts: Sequence[Row]) -> list[Row]:
        found: list[Row] = []
        raised: list[Row] = []
        for step in steps:
            if isinstance(step, Feedback):
                for agent in self._agents:
                    if agent.name == step.signal:
                        agent.learn(step)
            else:
                raised += self._judge(step, found)
        found += self._compared(alerts, raised)
        return found

    def _judge(self, step: ScoredChunk, found: list[Row]) -> list[Row]:
        chunk, signals, scores = copy(step.chunk), dict(step.signals), {}
        # What agents say to those behind them stands on the chunk: the shadow's has a slate of its own.
        vars(chunk)["signals"] = signals
        for agent in self._agents:
            scores[agent.name] = agent.score(chunk)
            signals[agent.name] = scores[agent.name].signals
        changes = [c for c in step.changes if c.signal.partition(".")[0] not in scores]
        changes = sorted([*changes, *(c for s in scores.values() for c in s.changes)], key=lambda c: c.index)
        SHADOW_EVENTS.inc(len(step.chunk))
        for name, said in scores.items():
            found += self._flags(step.chunk, name, step.signals[name], said.signals)
        return self._alerts.process(chunk, signals, changes)

    def _flags(self, chunk: Chunk, name: str, first: Sequence[Any], second: Sequence[Any]) -> Iterator[Row]:
        """Yield the events that one version flags and the other does not."""
        both = 0
        for i, (one, other) in enumerate(zip(first, second, strict=True)):
            was, is_ = (bool(getattr(said, "flag", False)) for said in (one, other))
            both += was and is_
            if was != is_:
                verdict = "appeared" if is_ else "vanished"
                SHADOW_FLAGS.labels(name, verdict).inc()
                event = chunk.events[i]
                yield {
                    "kind": "flag",
                    "shadow": self.plan.name,
                    "verdict": verdict,
                    "signal": name,
                    "primary_score": getattr(one, "score", None),
                    "shadow_score": getattr(other, "score", None),
                    "event_id": event.event_id,
                    "call_id": event.call_id,
                    "tenant": event.tenant,
                    "app": event.app,
                    "source_partition": self.partition,
                    "source_offset": int(chunk.offsets[i]),
                }
        SHADOW_FLAGS.labels(name, "same").inc(both)

    def _compared(self, first: Sequence[Row], second: Sequence[Row]) -> Iterator[Row]:
        """Yield every change of state of an alert that either version makes, and which does."""
        left = {(row["alert_id"], row["state"]): row for row in first}
        for row in second:
            of_first = left.pop((row["alert_id"], row["state"]), None)
            yield self._of_alert("appeared" if of_first is None else _verdict(of_first, row), row)
        for row in left.values():
            yield self._of_alert("vanished", row)

    def _of_alert(self, verdict: str, row: Row) -> Row:
        SHADOW_ALERTS.labels(row["rule"], row["state"], verdict).inc()
        where = {name: row[name] for name in ("source_partition", "source_offset", "signal")}
        return {"kind": "alert", "shadow": self.plan.name, "verdict": verdict, "alert": row, **where}

    def _state(self) -> dict[str, State]:
        return {name: home.state() for name, home in self._homes().items()}

    def _packed(self, parts: Mapping[str, State], offset: int) -> dict[str, State]:
        snapshot = Snapshot(self.partition, offset, self._versions(), parts)
        return {PART: {"mark": self.plan.mark, "snapshot": encode(snapshot)}}

    def _restore(self, kept: State | None, alerts: State) -> None:
        snapshot = self._opened(kept)
        if snapshot is None:
            self._alerts.restore(self._shared(alerts))
            return
        for name, home in self._homes().items():
            if snapshot.versions.get(name) == self._versions()[name]:
                try:
                    home.restore(snapshot.parts.get(name, {}))
                except StateError as error:
                    self._rejected(error)

    def _opened(self, kept: State | None) -> Snapshot | None:
        """Return what was kept of this plan; None where it is of another one, or cannot be read."""
        if kept is None or kept.get("mark") != self.plan.mark:
            return None
        try:
            raw = kept.get("snapshot")
            return decode(raw if isinstance(raw, bytes) else b"", self.plan.settings.worker.snapshot_bytes_max)
        except StateError as error:
            self._rejected(error)
            return None

    def _rejected(self, error: StateError) -> None:
        log.error("partition %d: shadow %s starts cold (%s): %s", self.partition, self.plan.name, error.reason, error)
        SHADOW_ERRORS.labels("state").inc()

    def _homes(self) -> dict[str, Any]:
        return {agent.name: agent for agent in self._agents} | {"alerts": self._alerts}

    def _versions(self) -> dict[str, int]:
        return {agent.name: agent.version for agent in self._agents} | {"alerts": CORE_VERSIONS["alerts"]}

    def _shared(self, alerts: State) -> State:
        """Return of the first version's alerts what belongs to rules that both have."""
        return restrict_to_rules(alerts, {r.name for r in self.plan.rules.rules if self._primary.get(r.name) == r})


def _verdict(first: Row, second: Row) -> str:
    return "same" if all(first[name] == second[name] for name in _COMPARED) else "changed"

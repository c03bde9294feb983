"""Shadow of one partition: runs a second version on the primary's chunks and compares flags and alerts."""

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
from streams.shadow.config import ShadowConfig

log = logging.getLogger(__name__)
T = TypeVar("T")
Row = dict[str, Any]

COMPONENT = "shadow"
"""Name of the shadow's state in the worker's snapshot."""
_COMPARED = ("severity", "evidence", "change_started_at")
"""Fields compared between two versions of an alert; the summary and the threshold follow from the rule."""


class Shadow:
    """Second version of agents and rules; processes each chunk after the primary version.

    An agent that both versions configure alike is not run again: the shadow's rules use the primary's signals. An agent
    or rule that differs starts cold. A rule that is equal takes over the primary's windows and firing alerts.

    A failure is counted and logged and stops this shadow only. No method raises.

    Parameters
    ----------
    partition
        The source partition.
    config
        Configuration of the shadow.
    primary_rules
        Rules of the primary version, by name.
    """

    def __init__(self, partition: int, config: ShadowConfig, primary_rules: Mapping[str, Rule]) -> None:
        self.partition = partition
        self.config = config
        self.running = True
        self._primary_rules = primary_rules
        self._agents: list[Agent] = []
        SHADOW_RUNNING.labels(str(partition)).set(1)
        self._isolated("build", self._build, None)

    def process(self, steps: Sequence[ScoredChunk | Feedback], alerts: Sequence[Row]) -> list[Row]:
        """Process the chunks and labels that the primary version has processed; return the differences.

        Parameters
        ----------
        steps
            Chunks and labels, in order.
        alerts
            Alert state changes of the primary version for these steps.

        Returns
        -------
        list of dict
            Findings in the form of `schemas.outputs.ShadowFinding`.
        """
        start = time.perf_counter()
        none: list[Row] = []
        findings = self._isolated("process", lambda: self._findings(steps, alerts), none)
        SHADOW_SECONDS.inc(time.perf_counter() - start)
        return findings

    def state(self) -> dict[str, State]:
        """Return a copy of the state, by component."""
        return self._isolated("state", self._state, {})

    def serialise(self, components: Mapping[str, State], offset: int) -> dict[str, State]:
        """Serialise the result of `state` into one part of the worker's snapshot; may run in a thread.

        A serialisation error in here cannot fail the snapshot of the primary version.
        """
        return self._isolated("state", lambda: self._serialise(components, offset), {})

    def restore(self, saved: State | None, alerts: State) -> None:
        """Continue from a serialised state; without one of this configuration, copy the primary's alert state."""
        self._isolated("restore", lambda: self._restore(saved, alerts), None)

    def _build(self) -> None:
        self._agents = build_agents(self.config.settings, self.config.rerun_agents)
        self._alerts = AlertEngine(self.config.rules, self.partition)

    def _isolated(self, step: str, operation: Callable[[], T], default: T) -> T:
        if not self.running:
            return default
        try:
            return operation()
        except Exception as error:  # noqa: BLE001 - no failure of the shadow may stop the primary version
            log.error(
                "partition %d: shadow %s stops after a failure in %s; the primary version continues: %s",
                self.partition,
                self.config.name,
                step,
                describe(error),
            )
            self.running = False
            SHADOW_ERRORS.labels(step).inc()
            SHADOW_RUNNING.labels(str(self.partition)).set(0)
            return default

    def _findings(self, steps: Sequence[ScoredChunk | Feedback], alerts: Sequence[Row]) -> list[Row]:
        findings: list[Row] = []
        shadow_alerts: list[Row] = []
        for step in steps:
            if isinstance(step, Feedback):
                for agent in self._agents:
                    if agent.name == step.signal:
                        agent.learn(step)
            else:
                shadow_alerts += self._score(step, findings)
        findings += self._compare_alerts(alerts, shadow_alerts)
        return findings

    def _score(self, step: ScoredChunk, findings: list[Row]) -> list[Row]:
        chunk, signals, scores = copy(step.chunk), dict(step.signals), {}
        # Later agents read the signals of earlier agents from the chunk, so the shadow's copy gets its own signals.
        vars(chunk)["signals"] = signals
        for agent in self._agents:
            scores[agent.name] = agent.score(chunk)
            signals[agent.name] = scores[agent.name].signals
        changes = [c for c in step.changes if c.signal.partition(".")[0] not in scores]
        changes = sorted([*changes, *(c for s in scores.values() for c in s.changes)], key=lambda c: c.index)
        SHADOW_EVENTS.inc(len(step.chunk))
        for name, output in scores.items():
            findings += self._compare_flags(step.chunk, name, step.signals[name], output.signals)
        return self._alerts.process(chunk, signals, changes)

    def _compare_flags(self, chunk: Chunk, name: str, primary: Sequence[Any], shadow: Sequence[Any]) -> Iterator[Row]:
        """Yield a finding for each event that only one version flags."""
        both = 0
        for i, (primary_signal, shadow_signal) in enumerate(zip(primary, shadow, strict=True)):
            primary_flag, shadow_flag = (bool(getattr(s, "flag", False)) for s in (primary_signal, shadow_signal))
            both += primary_flag and shadow_flag
            if primary_flag != shadow_flag:
                verdict = "appeared" if shadow_flag else "vanished"
                SHADOW_FLAGS.labels(name, verdict).inc()
                event = chunk.events[i]
                yield {
                    "kind": "flag",
                    "shadow": self.config.name,
                    "verdict": verdict,
                    "signal": name,
                    "primary_score": getattr(primary_signal, "score", None),
                    "shadow_score": getattr(shadow_signal, "score", None),
                    "event_id": event.event_id,
                    "call_id": event.call_id,
                    "tenant": event.tenant,
                    "app": event.app,
                    "source_partition": self.partition,
                    "source_offset": int(chunk.offsets[i]),
                }
        SHADOW_FLAGS.labels(name, "same").inc(both)

    def _compare_alerts(self, primary: Sequence[Row], shadow: Sequence[Row]) -> Iterator[Row]:
        """Yield a finding for each alert state change of either version."""
        unmatched = {(row["alert_id"], row["state"]): row for row in primary}
        for row in shadow:
            match = unmatched.pop((row["alert_id"], row["state"]), None)
            yield self._alert_finding("appeared" if match is None else _verdict(match, row), row)
        for row in unmatched.values():
            yield self._alert_finding("vanished", row)

    def _alert_finding(self, verdict: str, row: Row) -> Row:
        SHADOW_ALERTS.labels(row["rule"], row["state"], verdict).inc()
        source = {name: row[name] for name in ("source_partition", "source_offset", "signal")}
        return {"kind": "alert", "shadow": self.config.name, "verdict": verdict, "alert": row, **source}

    def _state(self) -> dict[str, State]:
        return {name: component.state() for name, component in self._components().items()}

    def _serialise(self, components: Mapping[str, State], offset: int) -> dict[str, State]:
        snapshot = Snapshot(self.partition, offset, self._versions(), components)
        return {COMPONENT: {"mark": self.config.config_hash, "snapshot": encode(snapshot)}}

    def _restore(self, saved: State | None, alerts: State) -> None:
        snapshot = self._decode(saved)
        if snapshot is None:
            self._alerts.restore(self._shared_alerts(alerts))
            return
        for name, component in self._components().items():
            if snapshot.versions.get(name) == self._versions()[name]:
                try:
                    component.restore(snapshot.parts.get(name, {}))
                except StateError as error:
                    self._report_rejected(error)

    def _decode(self, saved: State | None) -> Snapshot | None:
        """Return the saved state; None if it belongs to another configuration or cannot be decoded."""
        if saved is None or saved.get("mark") != self.config.config_hash:
            return None
        try:
            raw = saved.get("snapshot")
            return decode(raw if isinstance(raw, bytes) else b"", self.config.settings.worker.snapshot_bytes_max)
        except StateError as error:
            self._report_rejected(error)
            return None

    def _report_rejected(self, error: StateError) -> None:
        log.error(
            "partition %d: saved state of shadow %s rejected (%s); it starts cold: %s",
            self.partition,
            self.config.name,
            error.reason,
            error,
        )
        SHADOW_ERRORS.labels("state").inc()

    def _components(self) -> dict[str, Any]:
        return {agent.name: agent for agent in self._agents} | {"alerts": self._alerts}

    def _versions(self) -> dict[str, int]:
        return {agent.name: agent.version for agent in self._agents} | {"alerts": CORE_VERSIONS["alerts"]}

    def _shared_alerts(self, alerts: State) -> State:
        """Return the primary's alert state, restricted to the rules that both versions share."""
        shared = {r.name for r in self.config.rules.rules if self._primary_rules.get(r.name) == r}
        return restrict_to_rules(alerts, shared)


def _verdict(primary: Row, shadow: Row) -> str:
    return "same" if all(primary[name] == shadow[name] for name in _COMPARED) else "changed"

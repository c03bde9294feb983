"""Processing of one partition: deduplicate, join request and response, score, aggregate and raise alerts.

Each source partition has one `PartitionPipeline`, in the worker, in replay and in tests alike. Its outputs depend only
on the sequence of input records, never on how the records are cut into chunks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import orjson

from agents.base import Agent, AgentOutput, ChangePoint, Chunk, State, Timing, event_time_ms
from agents.commands import CommandDeduplicator
from agents.common.tenant_map import OTHER
from agents.common.watermark import Watermarks, bounded_time
from agents.common.window_counts import WindowRow
from agents.learning.output_rows import TrainableAgent, quality_rows, request_rows
from processing.alerting import AlertEngine
from processing.deduplicate import Deduplicator
from processing.join import Joiner
from processing.pricing import Price, with_cost
from processing.windows import Aggregator
from schemas.errors import StateError
from schemas.event import INPUT_ISSUES, LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from schemas.rules import RuleSet


@runtime_checkable
class Bounded(Protocol):
    """Agent that counts evicted entries."""

    @property
    def evicted(self) -> int:
        """Number of entries evicted to make room."""
        ...


class Record(NamedTuple):
    """One record of the events topic.

    Attributes
    ----------
    offset
        Offset in the source partition.
    item
        The decoded record.
    raw
        The bytes of the record.
    timestamp_ms
        Timestamp of the record in Kafka, in milliseconds since 1970; 0 if unknown.
    appended
        True if the broker set the timestamp when it appended the record (LogAppendTime), False if the producer did.
    """

    offset: int
    item: LLMEvent | Feedback | ModelCommand
    raw: bytes
    timestamp_ms: int = 0
    appended: bool = True


_Call: TypeAlias = "tuple[int, LLMEvent, bytes, int, int, int]"
"""Offset of the record that completed a call, the call, its bytes, and its three times as in `Timing`."""


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with the signals and change points of all agents."""

    chunk: Chunk
    signals: Mapping[str, Sequence[Any]]
    changes: Sequence[ChangePoint]


@dataclass(slots=True)
class Outputs:
    """Outputs of a run of records, ready to be produced, and the steps that led to them, in order."""

    scored: list[bytes] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    aggregates: list[WindowRow] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    label_requests: list[dict[str, Any]] = field(default_factory=list)
    steps: list[ScoredChunk | Feedback] = field(default_factory=list)


class PartitionPipeline:
    """Agents of one partition with the stream operators around them.

    Parameters
    ----------
    partition
        The source partition; part of every published identity.
    agents
        New agents, owned by this pipeline.
    rules
        Alert rules.
    lateness_ms, allowed_skew_ms, join_pending_max, join_timeout_ms, dedup_window
        See `schemas.settings`.
    prices
        Prices by model, for calls that do not state their cost.
    timed
        Returns a context manager for the name of an agent; the agent scores inside it. Agents themselves read no clock.

    Attributes
    ----------
    offset
        Last source offset included in the state; -1 before the first record.
    active_component
        Component that is processing, or that was processing when `process` raised.
    input_issues
        Number of events by code of `schemas.event.INPUT_ISSUES`; the caller reads and clears it.
    labels_learned, labels_ignored
        Number of labels that an agent accepted, and of labels that were duplicates or whose event was unknown.
    """

    def __init__(  # noqa: PLR0913 - one place builds it
        self,
        partition: int,
        agents: Sequence[Agent],
        rules: RuleSet,
        *,
        lateness_ms: int = 120_000,
        allowed_skew_ms: int = 300_000,
        join_pending_max: int = 10_000,
        join_timeout_ms: int = 600_000,
        dedup_window: int = 50_000,
        prices: Mapping[str, Price] | None = None,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.partition = partition
        self.agents = _check_requirements(agents)
        self.aggregator = Aggregator(lateness_ms, partition)
        self.alert_engine = AlertEngine(rules, partition)
        self.joiner = Joiner(join_pending_max, join_timeout_ms)
        self.deduplicator = Deduplicator(dedup_window)
        self.commands = CommandDeduplicator()
        self.allowed_skew_ms = allowed_skew_ms
        # Watermarks of complete calls. Pending halves advance only the watermarks of the joiner.
        self.watermarks = Watermarks()
        self._share_watermarks()
        self.offset = -1
        self.active_component = ""
        self.labels_learned = self.labels_ignored = 0
        self.input_issues: Counter[str] = Counter()
        self._prices = prices or {}
        self._timed = timed

    def process(self, records: Sequence[Record]) -> Outputs:
        """Process records in offset order; records that the state already includes are dropped."""
        out = Outputs()
        new = [r for r in records if r.offset > self.offset]
        for is_event, run in groupby(new, key=lambda r: isinstance(r.item, LLMEvent)):
            if is_event:
                self._score_events(list(run), out)
            else:
                for record in run:
                    self._learn(record.offset, record.item, out)
        if new:
            self.offset = new[-1].offset
        return out

    def open_aggregates(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the open windows that changed since the last call; do not process records during the iteration."""
        return self.aggregator.updated_windows(force=force)

    def overflow(self) -> dict[str, int]:
        """Return the number of evicted entries, or of events counted as `OTHER`, by component."""
        found = {agent.name: agent.evicted for agent in self.agents if isinstance(agent, Bounded)}
        found["alert_windows"], found["alerts"] = self.alert_engine.evicted, self.alert_engine.overflow
        found["aggregates"] = self.aggregator.overflow
        return found

    def _learn(self, offset: int, item: LLMEvent | Feedback | ModelCommand, out: Outputs) -> None:
        if isinstance(item, Feedback):
            out.steps.append(item)
        new = isinstance(item, ModelCommand) and self.commands.is_new(item)
        for agent in self.agents:
            if isinstance(item, LLMEvent) or agent.name != item.signal:
                continue
            self.active_component = agent.name
            if isinstance(item, ModelCommand):
                if isinstance(agent, TrainableAgent):
                    agent.learner.apply_command(item, repeated=not new)
                continue
            accepted = agent.learn(item)
            self.labels_learned += accepted
            self.labels_ignored += not accepted
            if accepted and isinstance(agent, TrainableAgent):
                out.quality += quality_rows(agent.learner, item, self.partition, offset)

    def _score_events(self, run: list[Record], out: Outputs) -> None:
        self.active_component = "join"
        calls = list(self._complete_calls(run))
        if not calls:
            return
        offsets, events, raws, *times = zip(*calls, strict=True)
        timing = Timing(*(np.array(column, np.int64) for column in times))
        chunk = Chunk(events, np.array(offsets, np.int64), timing)
        outputs: dict[str, AgentOutput] = {}
        for agent in self.agents:
            self.active_component = agent.name
            outputs[agent.name] = self._score(agent, chunk)
            chunk.signals[agent.name] = outputs[agent.name].signals
        signals = {name: output.signals for name, output in outputs.items()}
        changes = sorted((c for output in outputs.values() for c in output.changes), key=lambda c: c.index)
        requested: dict[int, dict[str, float]] = {}
        for agent in self.agents:
            if isinstance(agent, TrainableAgent):
                self.active_component = agent.name
                for request in agent.learner.selected:
                    requested.setdefault(request.index, {})[agent.name] = request.probability
                out.label_requests += request_rows(agent.learner, chunk, self.partition)
        issues = [event.input_issues and _known_issues(event.input_issues) for event in events]
        self.input_issues.update(chain.from_iterable(issues))
        out.scored += self._scored_rows(offsets, raws, signals, requested, issues)
        self.active_component = "aggregates"
        out.aggregates += self.aggregator.add(chunk, signals)
        self.active_component = "alerts"
        out.alerts += self.alert_engine.process(chunk, signals, changes)
        out.steps.append(ScoredChunk(chunk, signals, changes))

    def _score(self, agent: Agent, chunk: Chunk) -> AgentOutput:
        with self._timed(agent.name):
            return agent.score(chunk)

    def _complete_calls(self, run: list[Record]) -> Iterator[_Call]:
        skew_ms = self.allowed_skew_ms
        for offset, item, raw, broker_ms, appended in run:
            if not isinstance(item, LLMEvent) or self.deduplicator.is_duplicate(item, raw):
                continue
            own_time = bounded_time(event_time_ms(item), broker_ms, skew_ms, appended=appended)
            event = item.with_issue("time_skew") if not own_time.watermark_ms else item
            for released in self.joiner.add(event, own_time, len(raw)):
                is_own = released is event
                time = own_time
                if not is_own:
                    time = bounded_time(event_time_ms(released), broker_ms, skew_ms, appended=appended)
                watermark = self.watermarks.advance((released.tenant, released.app), time.watermark_ms)
                # A complete call is forwarded as its original bytes; joined and repaired events are serialised again.
                is_original = is_own and not item.input_issues
                serialised = raw if is_original else released.model_dump_json(exclude_unset=True).encode()
                call = with_cost(released, self._prices) if self._prices else released
                serialised = serialised if call is released else _append_cost(serialised, call)
                yield offset, call, serialised, time.time_ms, watermark, time.broker_ms

    def _scored_rows(
        self,
        offsets: Sequence[int],
        raws: Sequence[bytes],
        signals: Mapping[str, Sequence[Any]],
        requested: Mapping[int, Mapping[str, float]],
        issues: Sequence[Sequence[str]],
    ) -> Iterator[bytes]:
        names = tuple(signals)
        previous, seq = -1, 0
        for i, (offset, raw, *event_signals) in enumerate(zip(offsets, raws, *signals.values(), strict=True)):
            seq = seq + 1 if offset == previous else 0
            previous = offset
            reported = orjson.dumps(dict(zip(names, event_signals, strict=True)))
            more = b',"label_request_probability":' + orjson.dumps(requested[i]) if i in requested else b""
            if issues[i]:
                more += b',"input_issues":' + orjson.dumps(issues[i])
            tail = b',"source_partition":%d,"source_offset":%d,"source_seq":%d}' % (self.partition, offset, seq)
            yield b"".join((b'{"event":', raw, b',"signals":', reported, more, tail))

    def state(self) -> dict[str, State]:
        """Return the complete state at `offset`, by component."""
        parts: dict[str, State] = {agent.name: agent.state() for agent in self.agents}
        parts["aggregates"] = self.aggregator.state()
        parts["alerts"] = self.alert_engine.state()
        parts["join"] = self.joiner.state()
        parts["repeats"] = self.deduplicator.state()
        parts["commands"] = self.commands.state()
        parts["watermarks"] = self.watermarks.state()
        return parts

    def restore(self, parts: Mapping[str, State], offset: int) -> list[str]:
        """Load the state at ``offset``; return the components that start cold because their state does not fit."""
        cold: list[str] = []
        components: dict[str, Any] = {agent.name: agent for agent in self.agents}
        components |= {"aggregates": self.aggregator, "alerts": self.alert_engine}
        components |= {"join": self.joiner, "repeats": self.deduplicator}
        components |= {"commands": self.commands, "watermarks": self.watermarks}
        for name, component in components.items():
            try:
                if name not in parts:
                    raise StateError(f"{name}: the snapshot has no state of this component; it starts cold", part=name)
                component.restore(parts[name])
            except StateError:
                cold.append(name)
        # A restored agent has a new learner.
        self._share_watermarks()
        self.offset = offset
        return cold

    def _share_watermarks(self) -> None:
        for agent in self.agents:
            if isinstance(agent, TrainableAgent):
                agent.learner.use_watermarks(self.watermarks)


def _append_cost(raw: bytes, call: LLMEvent) -> bytes:
    """Return the bytes of an event with its cost appended, where it overrides a stated ``"cost_usd": null``."""
    return raw.rstrip()[:-1] + b',"cost_usd":' + orjson.dumps(call.cost_usd) + b"}"


def _known_issues(codes: Sequence[str]) -> Sequence[str]:
    """Return the issue codes of an event, with unknown codes replaced: senders can write any code."""
    return [code if code in INPUT_ISSUES else OTHER for code in codes]


def _check_requirements(agents: Sequence[Agent]) -> tuple[Agent, ...]:
    """Return the agents as a tuple; raise ValueError if an agent precedes one that it requires."""
    preceding: set[str] = set()
    for agent in agents:
        if missing := {*getattr(agent, "requires", ())} - preceding:
            raise ValueError(
                f"agent {agent.name} requires the signals of {sorted(missing)}; list those agents before it"
            )
        preceding.add(agent.name)
    return tuple(agents)

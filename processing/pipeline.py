"""Process one partition: deduplicate, join request and response, score, aggregate, alert.

One `PartitionPipeline` serves each source partition, in the worker, in replay and in tests. Its outputs depend only on
the sequence of records, never on chunk boundaries.
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
from processing.pricing import Price, priced
from processing.windows import Aggregator
from schemas.errors import StateError
from schemas.event import INPUT_ISSUES, LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from schemas.rules import RuleSet


@runtime_checkable
class Bounded(Protocol):
    """An agent that counts the entries that made room for others."""

    @property
    def evicted(self) -> int:
        """Entries that made room for others."""
        ...


class Record(NamedTuple):
    """One record of the events topic.

    Attributes
    ----------
    offset
        In the source partition.
    item
        What was decoded.
    raw
        The bytes it was decoded from.
    timestamp_ms
        The broker's time of the record, in milliseconds since 1970; 0 where it is not known.
    appended
        True where that is the time at which the broker appended the record (LogAppendTime), which no producer chooses.
    """

    offset: int
    item: LLMEvent | Feedback | ModelCommand
    raw: bytes
    timestamp_ms: int = 0
    appended: bool = True


_Call: TypeAlias = "tuple[int, LLMEvent, bytes, int, int, int]"
"""The offset of the record that completed a call, the call, its bytes, and what `Timing` has of it."""


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk and what the agents said of it."""

    chunk: Chunk
    signals: Mapping[str, Sequence[Any]]
    changes: Sequence[ChangePoint]


@dataclass(slots=True)
class Outputs:
    """What a run of records gives, ready to be produced; and the steps that led to it, in order."""

    scored: list[bytes] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    aggregates: list[WindowRow] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    label_requests: list[dict[str, Any]] = field(default_factory=list)
    steps: list[ScoredChunk | Feedback] = field(default_factory=list)


class PartitionPipeline:
    """The agents of one partition and what surrounds them.

    Parameters
    ----------
    partition
        The source partition; part of every identity that is published.
    agents
        Fresh agents; this pipeline owns them.
    rules
        Alert rules.
    lateness_ms, allowed_skew_ms, join_pending_max, join_timeout_ms, dedup_window
        See `schemas.settings`.
    prices
        By model: what a call costs that does not say so itself.
    timed
        Given an agent's name, a context in which it scores: agents read no clock, who wants to know may.

    Attributes
    ----------
    offset
        The last source offset included in the state; -1 before the first.
    busy
        The part of the state that is at work, or was when `process` raised.
    input_issues
        Events by code of `schemas.event.INPUT_ISSUES`, since somebody last took and cleared them.
    learned, ignored
        Labels that an agent took, and those that it did not know the event of or had seen before.
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
        self.agents = _in_order(agents)
        self.aggregator = Aggregator(lateness_ms, partition)
        self.alert_engine = AlertEngine(rules, partition)
        self.joiner = Joiner(join_pending_max, join_timeout_ms)
        self.deduplicator = Deduplicator(dedup_window)
        self.commands = CommandDeduplicator()
        self.allowed_skew_ms = allowed_skew_ms
        # Of whole calls; halves that wait have moved the joiner's own already.
        self.watermarks = Watermarks()
        self._share_watermarks()
        self.offset = -1
        self.active_component = ""
        self.labels_learned = self.labels_ignored = 0
        self.input_issues: Counter[str] = Counter()
        self._prices = prices or {}
        self._timed = timed

    def process(self, records: Sequence[Record]) -> Outputs:
        """Judge records in offset order; those the state already includes are dropped."""
        out = Outputs()
        fresh = [r for r in records if r.offset > self.offset]
        for is_event, run in groupby(fresh, key=lambda r: isinstance(r.item, LLMEvent)):
            if is_event:
                self._judge(list(run), out)
            else:
                for record in run:
                    self._learn(record.offset, record.item, out)
        if fresh:
            self.offset = fresh[-1].offset
        return out

    def open_aggregates(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield absolute values of the open windows that changed since they were last yielded; judge none meanwhile."""
        return self.aggregator.updated_windows(force=force)

    def overflow(self) -> dict[str, int]:
        """Return by part what made room for others so far, or was counted as `OTHER`."""
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
            known = agent.learn(item)
            self.labels_learned += known
            self.labels_ignored += not known
            if known and isinstance(agent, TrainableAgent):
                out.quality += quality_rows(agent.learner, item, self.partition, offset)

    def _judge(self, run: list[Record], out: Outputs) -> None:
        self.active_component = "join"
        calls = list(self._whole_calls(run))
        if not calls:
            return
        offsets, events, raws, *times = zip(*calls, strict=True)
        timing = Timing(*(np.array(column, np.int64) for column in times))
        chunk = Chunk(events, np.array(offsets, np.int64), timing)
        scores: dict[str, AgentOutput] = {}
        for agent in self.agents:
            self.active_component = agent.name
            scores[agent.name] = self._score(agent, chunk)
            chunk.signals[agent.name] = scores[agent.name].signals
        signals = {name: s.signals for name, s in scores.items()}
        changes = sorted((c for s in scores.values() for c in s.changes), key=lambda c: c.index)
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

    def _whole_calls(self, run: list[Record]) -> Iterator[_Call]:
        skew = self.allowed_skew_ms
        for offset, item, raw, broker, appended in run:
            if not isinstance(item, LLMEvent) or self.deduplicator.is_duplicate(item, raw):
                continue
            when = bounded_time(event_time_ms(item), broker, skew, appended=appended)
            event = item.with_issue("time_skew") if not when.watermark_ms else item
            for released in self.joiner.add(event, when, len(raw)):
                own = released is event
                at, reach, taken = (
                    when if own else bounded_time(event_time_ms(released), broker, skew, appended=appended)
                )
                watermark = self.watermarks.advance((released.tenant, released.app), reach)
                # A whole call goes on as the very bytes it came in; joined halves and repaired events are written anew.
                as_it_came = own and not item.input_issues
                written = raw if as_it_came else released.model_dump_json(exclude_unset=True).encode()
                call = priced(released, self._prices) if self._prices else released
                written = written if call is released else _with_cost(written, call)
                yield offset, call, written, at, watermark, taken

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
        for i, (offset, raw, *each) in enumerate(zip(offsets, raws, *signals.values(), strict=True)):
            seq = seq + 1 if offset == previous else 0
            previous = offset
            said = orjson.dumps(dict(zip(names, each, strict=True)))
            more = b',"label_request_probability":' + orjson.dumps(requested[i]) if i in requested else b""
            if issues[i]:
                more += b',"input_issues":' + orjson.dumps(issues[i])
            tail = b',"source_partition":%d,"source_offset":%d,"source_seq":%d}' % (self.partition, offset, seq)
            yield b"".join((b'{"event":', raw, b',"signals":', said, more, tail))

    def state(self) -> dict[str, State]:
        """Everything needed to continue after `offset`, by part."""
        parts: dict[str, State] = {agent.name: agent.state() for agent in self.agents}
        parts["aggregates"] = self.aggregator.state()
        parts["alerts"] = self.alert_engine.state()
        parts["join"] = self.joiner.state()
        parts["repeats"] = self.deduplicator.state()
        parts["commands"] = self.commands.state()
        parts["watermarks"] = self.watermarks.state()
        return parts

    def restore(self, parts: Mapping[str, State], offset: int) -> list[str]:
        """Continue after ``offset``; returns the parts that had to start cold because their state does not fit."""
        cold: list[str] = []
        components: dict[str, Any] = {agent.name: agent for agent in self.agents}
        components |= {"aggregates": self.aggregator, "alerts": self.alert_engine}
        components |= {"join": self.joiner, "repeats": self.deduplicator}
        components |= {"commands": self.commands, "watermarks": self.watermarks}
        for name, component in components.items():
            try:
                if name not in parts:
                    raise StateError(f"{name}: the snapshot has no such part", part=name)
                component.restore(parts[name])
            except StateError:
                cold.append(name)
        # An agent that continues from a state has another learner.
        self._share_watermarks()
        self.offset = offset
        return cold

    def _share_watermarks(self) -> None:
        for agent in self.agents:
            if isinstance(agent, TrainableAgent):
                agent.learner.use_watermarks(self.watermarks)


def _with_cost(raw: bytes, call: LLMEvent) -> bytes:
    """Return an event's bytes with its cost put last, where it counts even if the event says ``"cost_usd": null``."""
    return raw.rstrip()[:-1] + b',"cost_usd":' + orjson.dumps(call.cost_usd) + b"}"


def _known_issues(codes: Sequence[str]) -> Sequence[str]:
    """Return the codes of an event as they are counted and stored: a sender can write any, and each is kept."""
    return [code if code in INPUT_ISSUES else OTHER for code in codes]


def _in_order(agents: Sequence[Agent]) -> tuple[Agent, ...]:
    before: set[str] = set()
    for agent in agents:
        if missing := {*getattr(agent, "requires", ())} - before:
            raise ValueError(f"{agent.name} reads the signals of {sorted(missing)}; put them before it")
        before.add(agent.name)
    return tuple(agents)

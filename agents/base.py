"""Contract of an agent: its input (`Chunk`), its output (`AgentOutput`) and its state.

An agent is a pure online detector over one partition of the stream. The same sequence of events yields bit-equal
signals for any chunk boundaries, so that replay, recovery and the live run agree. To this end, agents advance their
state in event order, and every kernel processes one event (or one text) at a time with a fixed order of summation.
BLAS products over a chunk are ruled out: their rounding depends on the shape of the chunk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.common.refusal import is_refusal
from schemas.event import LLMEvent
from schemas.feedback import Feedback

State: TypeAlias = Mapping[str, "NDArray[Any] | int | float | str | bytes | list[Any] | dict[str, Any]"]
"""State of an agent: arrays and JSON-serialisable values by name. Snapshots store it as raw buffers, never pickled."""


class Segment(NamedTuple):
    """Tenant, app, model and prompt version: the key of an aggregate window.

    Baselines are kept per scope (tenant and app), see `Chunk.scopes` and ADR 0004.
    """

    tenant: str
    app: str
    model: str
    prompt_version: str


class Role(IntEnum):
    """Origin of a text."""

    SYSTEM = 0
    USER = 1
    TOOL = 2
    DOCUMENT = 3
    ASSISTANT = 4
    RESPONSE = 5


# Plain integers: an event has about five texts, and numpy and bytes() convert integers several times faster than enum
# members.
_ROLES = {
    "system": int(Role.SYSTEM),
    "developer": int(Role.SYSTEM),
    "user": int(Role.USER),
    "tool": int(Role.TOOL),
    "assistant": int(Role.ASSISTANT),
}
_DOCUMENT, _RESPONSE = int(Role.DOCUMENT), int(Role.RESPONSE)


@dataclass(frozen=True, slots=True)
class Texts:
    """Columns with all texts of a chunk: text ``k`` is ``buffer[start[k]:start[k + 1]]``, in UTF-8.

    Attributes
    ----------
    event
        int64[m], index of the event in the chunk; ascending.
    role
        uint8[m], a `Role`.
    start
        int64[m + 1], byte offsets.
    buffer
        uint8[bytes].
    strings
        The same m texts as str.
    """

    event: NDArray[np.int64]
    role: NDArray[np.uint8]
    start: NDArray[np.int64]
    buffer: NDArray[np.uint8]
    strings: Sequence[str]


class Timing(NamedTuple):
    """Times of the n events of a chunk: int64[n] each, in milliseconds since 1970.

    Attributes
    ----------
    times
        Time at which each event is counted: its own time, or the broker's time if its own is skewed.
    watermarks
        Watermark of the event's scope, this event included (`agents.common.watermark.Watermarks`); 0 if the scope has
        no watermark yet.
    broker_times
        Time at which the broker appended the record that completed the event; 0 if unknown.
    """

    times: NDArray[np.int64]
    watermarks: NDArray[np.int64]
    broker_times: NDArray[np.int64]


class Chunk:
    """Consecutive events of one partition, with the features that agents share.

    Each shared feature is computed once, on first access.

    Parameters
    ----------
    events
        Complete calls, in offset order.
    offsets
        int64[n], source offset of the record that completed each event. Ascending, with repetitions: one record may
        release several events.
    timing
        See `Timing`. By default, each event's own time is both its time and the watermark of its scope.

    Attributes
    ----------
    signals
        Signals of the agents that have scored this chunk already, by agent name. The pipeline sets them.
    """

    def __init__(
        self,
        events: Sequence[LLMEvent],
        offsets: NDArray[np.int64] | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.events = events
        self._timing = timing
        self.offsets = np.arange(len(events), dtype=np.int64) if offsets is None else offsets
        self.signals: dict[str, Sequence[Any]] = {}

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def segments(self) -> list[Segment]:
        """Segment of each of the n events."""
        return [Segment(e.tenant, e.app, e.response_model or e.request_model, e.prompt_version) for e in self.events]

    @cached_property
    def scopes(self) -> list[tuple[str, str]]:
        """Scope (tenant, app) of each of the n events."""
        return [(e.tenant, e.app) for e in self.events]

    @cached_property
    def timing(self) -> Timing:
        """Times of the events, watermarks of their scopes and times of the broker."""
        if self._timing is not None:
            return self._timing
        times = np.fromiter(map(event_time_ms, self.events), np.int64, len(self.events))
        return Timing(times, times, np.zeros(len(times), np.int64))

    @property
    def times(self) -> NDArray[np.int64]:
        """Time at which each event is counted: int64[n], in milliseconds since 1970."""
        return self.timing.times

    @cached_property
    def now(self) -> NDArray[np.int64]:
        """Current time of each event's scope: its watermark, or the event's time if the scope has none; int64[n]."""
        return np.where(self.timing.watermarks > 0, self.timing.watermarks, self.timing.times)

    @cached_property
    def texts(self) -> Texts:
        """Texts of all non-empty messages, documents and first choices of the chunk, in event order."""
        counts: list[int] = []
        role: list[int] = []
        strings: list[str] = []
        for event in self.events:
            before = len(strings)
            for message in event.messages:
                if message.content:
                    role.append(_ROLES[message.role])
                    strings.append(message.content)
            for document in event.documents:
                if document.text:
                    role.append(_DOCUMENT)
                    strings.append(document.text)
            if event.choices and event.choices[0].content:
                role.append(_RESPONSE)
                strings.append(event.choices[0].content)
            counts.append(len(strings) - before)
        encoded = [s.encode("utf-8", "replace") for s in strings]
        start = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(list(map(len, encoded)), out=start[1:])
        return Texts(
            np.repeat(np.arange(len(counts)), np.array(counts, np.int64)),
            np.frombuffer(bytes(role), np.uint8),
            start,
            np.frombuffer(b"".join(encoded), np.uint8),
            strings,
        )

    @cached_property
    def refusals(self) -> list[bool | None]:
        """Refusal flag of the first choice of each of the n events; None if the event has no choice."""
        return [is_refusal(e.choices[0].content) if e.choices else None for e in self.events]


def event_time_ms(event: LLMEvent) -> int:
    """Return the time stated in an event, in milliseconds since 1970."""
    return int(event.time.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change in a stream of events: a rate rose, or a distribution moved.

    Attributes
    ----------
    index
        Index in the chunk of the event at which the change was detected.
    signal
        Dotted name, for example ``injection.rate`` or ``drift.latency_ms``.
    segment
        Key of the baseline that moved: names and values, for example ``{"tenant": ..., "app": ...}``.
    since_offset, since_time_ms
        Estimated start of the change.
    before, after
        Level before and after the change, in the unit of the signal.
    score
        Detection statistic divided by its threshold (>= 1).
    terms_gained, terms_lost
        Words whose share rose and fell most; empty for scalar signals.
    slices
        Share of each slice before and after, by slice (for example ``prompt_version=v2``).
    event_ids
        Example events.
    summary
        One sentence that replaces the one made of `before`, `after` and terms.
    facts
        Figures and texts by name, for the details of an alert. A firing alert adopts the newest facts, so that its
        resolved state carries the final counts.
    causes
        Probable causes as ``kind: evidence``, most probable first; empty if no cause was found.
    """

    index: int
    signal: str
    segment: Mapping[str, str]
    since_offset: int
    since_time_ms: int
    before: float
    after: float
    score: float
    terms_gained: Sequence[str] = ()
    terms_lost: Sequence[str] = ()
    slices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    event_ids: Sequence[str] = ()
    summary: str = ""
    facts: Mapping[str, int | float | str] = field(default_factory=dict)
    causes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class AgentOutput:
    """Output of an agent for a chunk.

    Attributes
    ----------
    signals
        One entry per event: a frozen slotted dataclass (serialised as it is), or None if the agent reports nothing.
    changes
        Change points of the stream, in event order.
    """

    signals: Sequence[Any]
    changes: Sequence[ChangePoint] = ()


class Agent(Protocol):
    """Detector of one signal over one partition.

    ``score`` does not raise on any valid chunk and never learns labels. ``learn`` receives the feedback on an event,
    normally after the same instance has scored the event; feedback on an unscored event and repeated feedback are
    ignored and counted. ``state`` returns copies of arrays, and an agent restored from it continues bit-equal. Memory
    is bounded for any stream.

    An agent that reads the signals of other agents (``Chunk.signals``) names these agents in a class attribute
    ``requires``. The pipeline rejects an order in which a required agent runs later.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def score(self, chunk: Chunk) -> AgentOutput:
        """Score each event and advance the state."""
        ...

    def learn(self, feedback: Feedback) -> bool:
        """Learn one label; return False if its event is unknown or evicted, or if the label is a duplicate."""
        ...

    def state(self) -> State:
        """Return the complete state as arrays and JSON-serialisable values."""
        ...

    def restore(self, state: State) -> None:
        """Load a state of the same version; raise `schemas.errors.StateError` if it does not fit."""
        ...

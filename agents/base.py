"""What every agent is, what it is given, and what it gives back.

An agent is a pure online detector over one partition of the stream. The same sequence of events gives bit-equal
signals whatever the chunk boundaries are, so that replay, recovery and the live run agree: state is advanced in event
order, and every kernel treats one event (or one text) at a time with a fixed order of summation (no BLAS products over
a chunk: their rounding depends on its shape).
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
"""An agent's state: arrays and JSON-able values by name. Written as npz-like buffers, never pickled."""


class Segment(NamedTuple):
    """The keys that a baseline is kept for."""

    tenant: str
    app: str
    model: str
    prompt_version: str


class Role(IntEnum):
    """Who wrote a text."""

    SYSTEM = 0
    USER = 1
    TOOL = 2
    DOCUMENT = 3
    ASSISTANT = 4
    RESPONSE = 5


# Plain numbers: of a chunk's five texts an event, numpy and bytes() take those several times as fast as enum members.
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
    """All texts of a chunk, columnar: text ``k`` is ``buffer[start[k]:start[k + 1]]``, UTF-8.

    Attributes
    ----------
    event
        int64[m], index into the chunk's events; ascending.
    role
        uint8[m], a `Role`.
    start
        int64[m + 1], byte offsets.
    buffer
        uint8[bytes].
    strings
        The same texts as str, length m.
    """

    event: NDArray[np.int64]
    role: NDArray[np.uint8]
    start: NDArray[np.int64]
    buffer: NDArray[np.uint8]
    strings: Sequence[str]


class Timing(NamedTuple):
    """Times of a chunk's events, in milliseconds since 1970; int64[n] each.

    Attributes
    ----------
    at
        Where in time each event is counted: its own time, or the broker's where its own is skewed.
    watermarks
        Event time of the event's scope (`agents.common.watermark.Watermarks`), this event included; 0 while it
        has none.
    broker
        When the broker took the record that completed the event; 0 where that is not known.
    """

    at: NDArray[np.int64]
    watermarks: NDArray[np.int64]
    broker: NDArray[np.int64]


class Chunk:
    """Consecutive events of one partition, with the features that agents share, each computed once when first asked.

    Parameters
    ----------
    events
        Whole calls, in offset order.
    offsets
        int64[n], the source offset that completed each event (ascending, repeats allowed: one record may release
        several events).
    timing
        See `Timing`; without it each event's time is its own, and the watermark of its scope.

    Attributes
    ----------
    said
        Signals of the agents that judged this chunk before, by name; the pipeline fills it in.
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
        self.said: dict[str, Sequence[Any]] = {}

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def segments(self) -> list[Segment]:
        """The segment of each event, length n."""
        return [Segment(e.tenant, e.app, e.response_model or e.request_model, e.prompt_version) for e in self.events]

    @cached_property
    def places(self) -> list[tuple[str, str]]:
        """Tenant and app of each event, length n."""
        return [(e.tenant, e.app) for e in self.events]

    @cached_property
    def timing(self) -> Timing:
        """Times of the events, of their scopes and of the broker."""
        if self._timing is not None:
            return self._timing
        times = np.fromiter(map(milliseconds, self.events), np.int64, len(self.events))
        return Timing(times, times, np.zeros(len(times), np.int64))

    @property
    def times(self) -> NDArray[np.int64]:
        """int64[n], where in time each event is counted, in milliseconds since 1970."""
        return self.timing.at

    @cached_property
    def now(self) -> NDArray[np.int64]:
        """int64[n], event time of each event's scope: its watermark, the event's time while there is none."""
        return np.where(self.timing.watermarks > 0, self.timing.watermarks, self.timing.at)

    @cached_property
    def texts(self) -> Texts:
        """Every non-empty message, document and first choice of the chunk, in event order."""
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
        """Whether the first choice of each event declines, length n; None where there is no choice."""
        return [is_refusal(e.choices[0].content) if e.choices else None for e in self.events]


def milliseconds(event: LLMEvent) -> int:
    """Return the time an event gives itself, in milliseconds since 1970."""
    return int(event.time.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Change:
    """A finding about a stream of events, not about one of them: a rate or a distribution moved.

    Attributes
    ----------
    index
        Index in the chunk of the event at which it was seen.
    signal
        Dotted name, for example ``injection.rate`` or ``drift.latency_ms``.
    segment
        Whose baseline: key name to value, for example ``{"tenant": ..., "app": ...}``.
    since_offset, since_time_ms
        Estimated begin.
    before, after
        The level on either side, in the signal's unit.
    score
        The detection statistic over its threshold (>= 1).
    terms_gained, terms_lost
        Words whose share moved most; empty for scalars.
    slices
        Slice (for example ``prompt_version=v2``) to its share (before, after).
    event_ids
        Examples.
    summary
        One sentence, where before, after and terms do not say it.
    facts
        Figures and texts by name, for the details of an alert. An alert that fires already takes over the newest ones:
        its end tells the final counts.
    causes
        What it most likely comes from, ``kind: evidence``, the likeliest first; empty where nothing is known of it.
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
class Scores:
    """What an agent says of a chunk.

    Attributes
    ----------
    signals
        Length n; a frozen slotted dataclass per event (serialised as it stands), or None where there is nothing to say.
    changes
        Findings about the stream, in event order.
    """

    signals: Sequence[Any]
    changes: Sequence[Change] = ()


class Agent(Protocol):
    """One signal over one partition.

    ``score`` may not raise on any valid chunk and never learns labels. ``learn`` is given feedback after its event was
    scored by the same instance (or before, or never, or twice: ignored and counted). ``state`` returns arrays that are
    copies; ``restore`` of it continues bit-equal. Memory is bounded for any stream.

    An agent that reads the signals of other agents (``Chunk.said``) names them in a class attribute ``requires``. The
    pipeline rejects an order in which a required agent runs later.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def score(self, chunk: Chunk) -> Scores:
        """Judge each event and advance the state by it."""
        ...

    def learn(self, feedback: Feedback) -> bool:
        """Apply one label; False if its event is not (or no longer) known here or the label was seen before."""
        ...

    def state(self) -> State:
        """Everything needed to continue, as arrays and JSON-able values."""
        ...

    def restore(self, state: State) -> None:
        """Continue from a state of the same version; raise `schemas.errors.StateError` if it does not fit."""
        ...

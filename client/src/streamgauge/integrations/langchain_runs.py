"""The runs of LangChain that are under way: who is inside whom, and what was found where. Bounded."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from streamgauge.calls import Call
from streamgauge.integrations._reading import Json

MAX_AGE_S = 3600.0
MAX_DEPTH = 64
MAX_DOCUMENTS = 100
MAX_SAID_CHARS = 100_000


@dataclass(slots=True)
class Run:
    """A run under way.

    Attributes
    ----------
    kind
        llm, chain, retriever or tool.
    documents
        What the retrievers inside this run found so far.
    prompt
        Name and version of the template that was last filled in directly inside this run.
    release
        Called when the run leaves the table.
    models
        The calls of models under way directly inside this run.
    """

    id: UUID
    parent: UUID | None
    kind: str
    name: str
    began: float = field(default_factory=time.monotonic)
    call: Call | None = None
    prompt: tuple[str, str] | None = None
    release: Callable[[], object] | None = None
    models: set[UUID] = field(default_factory=set)
    documents: list[Json] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)
    _said_chars: int = 0

    def found(self, documents: Sequence[Json]) -> None:
        """Add documents that are not there yet; the newest are kept."""
        merged = {(d["id"], d["text"]): d for d in [*self.documents, *documents]}
        self.documents = list(merged.values())[-MAX_DOCUMENTS:]

    def say(self, text: str) -> None:
        """Add to what a model has answered so far."""
        if text and self._said_chars < MAX_SAID_CHARS:
            self._said.append(text)
            self._said_chars += len(text)

    def said(self) -> str:
        """Return what a model has answered so far."""
        return "".join(self._said)


class Runs:
    """The table of runs, oldest first.

    Parameters
    ----------
    most
        How many are kept.
    on_lost
        Is told of each run that is forgotten before its end came.
    """

    def __init__(
        self, most: int, *, on_lost: Callable[[Run], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._on_lost = on_lost
        self._clock = clock
        self._runs: OrderedDict[UUID, Run] = OrderedDict()
        # Reentrant: while this thread holds it, a finaliser may close a stream, and that ends a run.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._runs)

    def start(self, run: Run) -> None:
        """Add a run, and forget the oldest where there are too many."""
        with self._lock:
            self._runs[run.id] = run
            if run.kind == "llm" and (parent := self._parent(run)) is not None:
                parent.models.add(run.id)
            lost = list(self._too_old())
        for old in lost:
            _release(old)
            self._on_lost(old)

    def _too_old(self) -> Iterator[Run]:
        oldest = self._clock() - MAX_AGE_S
        while self._runs:
            run = next(iter(self._runs.values()))
            if len(self._runs) <= self._most and run.began >= oldest:
                return
            yield self._runs.pop(run.id)

    def get(self, run_id: UUID) -> Run | None:
        """Return a run that is under way."""
        return self._runs.get(run_id)

    def end(self, run_id: UUID) -> Run | None:
        """Take a run out."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is not None and (parent := self._parent(run)) is not None:
                parent.models.discard(run_id)
        _release(run)
        return run

    def end_models_of(self, run_id: UUID) -> list[Run]:
        """Take out the calls of models under way directly inside a run."""
        run = self.get(run_id)
        return [] if run is None else [m for name in tuple(run.models) if (m := self.end(name)) is not None]

    def _parent(self, run: Run) -> Run | None:
        return self._runs.get(run.parent) if run.parent is not None else None

    def above(self, run: Run) -> Iterator[Run]:
        """Yield the runs around this one, the nearest first."""
        for _ in range(MAX_DEPTH):
            above = self._parent(run)
            if above is None:
                return
            yield above
            run = above


def _release(run: Run | None) -> None:
    if run is not None and run.release is not None:
        run.release()

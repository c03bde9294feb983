"""Bounded table of LangChain's active runs: nesting, documents and partial responses."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from streamgauge.calls import Call
from streamgauge.integrations._accessors import Json

MAX_AGE_S = 3600.0
MAX_DEPTH = 64
MAX_DOCUMENTS = 100
MAX_TEXT_CHARS = 100_000


@dataclass(slots=True)
class Run:
    """An active run.

    Attributes
    ----------
    kind
        ``llm``, ``chain``, ``retriever`` or ``tool``.
    documents
        Documents of the retrievers inside this run so far.
    prompt
        Name and version of the latest template formatted directly inside this run.
    release
        Called when the run is removed from the table.
    models
        Active model calls directly inside this run.
    """

    id: UUID
    parent: UUID | None
    kind: str
    name: str
    started: float = field(default_factory=time.monotonic)
    call: Call | None = None
    prompt: tuple[str, str] | None = None
    release: Callable[[], object] | None = None
    models: set[UUID] = field(default_factory=set)
    documents: list[Json] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _text_chars: int = 0

    def add_documents(self, documents: Sequence[Json]) -> None:
        """Add new documents; the newest are kept."""
        merged = {(d["id"], d["text"]): d for d in [*self.documents, *documents]}
        self.documents = list(merged.values())[-MAX_DOCUMENTS:]

    def append_text(self, text: str) -> None:
        """Append to the partial response of a model."""
        if text and self._text_chars < MAX_TEXT_CHARS:
            self._texts.append(text)
            self._text_chars += len(text)

    def text(self) -> str:
        """Return the partial response of a model."""
        return "".join(self._texts)


class Runs:
    """Table of active runs, the oldest first.

    Parameters
    ----------
    limit
        Maximum number of runs.
    on_evicted
        Called with each run that is evicted before its end.
    """

    def __init__(
        self, limit: int, *, on_evicted: Callable[[Run], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._on_evicted = on_evicted
        self._clock = clock
        self._runs: OrderedDict[UUID, Run] = OrderedDict()
        # Reentrant: a finaliser may close a stream, which ends a run, while this thread holds the lock.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._runs)

    def start(self, run: Run) -> None:
        """Add a run, and evict the oldest runs beyond the limit."""
        with self._lock:
            self._runs[run.id] = run
            if run.kind == "llm" and (parent := self._parent(run)) is not None:
                parent.models.add(run.id)
            evicted = list(self._evict())
        for run_ in evicted:
            _release(run_)
            self._on_evicted(run_)

    def _evict(self) -> Iterator[Run]:
        oldest_allowed = self._clock() - MAX_AGE_S
        while self._runs:
            run = next(iter(self._runs.values()))
            if len(self._runs) <= self._limit and run.started >= oldest_allowed:
                return
            yield self._runs.pop(run.id)

    def get(self, run_id: UUID) -> Run | None:
        """Return an active run."""
        return self._runs.get(run_id)

    def end(self, run_id: UUID) -> Run | None:
        """Remove a run and return it."""
        with self._lock:
            run = self._runs.pop(run_id, None)
            if run is not None and (parent := self._parent(run)) is not None:
                parent.models.discard(run_id)
        _release(run)
        return run

    def end_models_of(self, run_id: UUID) -> list[Run]:
        """Remove the active model calls directly inside a run and return them."""
        run = self.get(run_id)
        return [] if run is None else [m for name in tuple(run.models) if (m := self.end(name)) is not None]

    def _parent(self, run: Run) -> Run | None:
        return self._runs.get(run.parent) if run.parent is not None else None

    def above(self, run: Run) -> Iterator[Run]:
        """Yield the enclosing runs, the innermost first."""
        for _ in range(MAX_DEPTH):
            above = self._parent(run)
            if above is None:
                return
            yield above
            run = above


def _release(run: Run | None) -> None:
    if run is not None and run.release is not None:
        run.release()

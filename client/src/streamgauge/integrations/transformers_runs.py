"""One use of a watched pipeline: which inputs are on their way through it, and the events they become."""

from __future__ import annotations

import time
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from streamgauge.calls import Call
from streamgauge.guard import quietly
from streamgauge.integrations import transformers_answers as answers
from streamgauge.publisher import EventPublisher


@dataclass(slots=True)
class Item:
    """One input, and how many tokens the tokenizer made of it; 0: not known."""

    given: Any
    tokens: int = 0


@dataclass(slots=True)
class Run:
    """A call of the pipeline, or an iteration over its answers.

    Attributes
    ----------
    items
        Inputs that were preprocessed and not answered yet, in order. Empty where worker processes of a data loader do
        the preprocessing.
    seen
        What the last postprocessing saw.
    """

    pipe: Any
    publisher: EventPublisher | None
    given: Mapping[str, Any]
    batch_size: int = 1
    items: deque[Item] = field(default_factory=deque)
    seen: answers.Seen | None = None

    @quietly("transformers")
    def begin(self) -> Call:
        """Begin the call for the next answer."""
        model = self.pipe.model
        return Call.begin(
            self.publisher,
            provider="huggingface",
            request_model=getattr(model, "name_or_path", "") or type(model).__name__,
            parameters=answers.parameters(self.pipe, self.given, self.batch_size),
        )

    def enter(self, given: Any, made: Any) -> Any:
        """Note an input and what the tokenizer made of it; pass that on, also where it comes in pieces."""
        item = Item(given)
        self.items.append(item)
        if isinstance(made, types.GeneratorType):
            return _counted(item, made)
        _count(item, made)
        return made

    @quietly("transformers")
    def finish(self, call: Call | None, given: Any, error: BaseException | None) -> None:
        """Publish; ``given`` is the input where it was not seen on its way."""
        item = self.items.popleft() if self.items else Item(given)
        read, seen, self.seen = answers.reader(self.pipe), self.seen, None
        if call is None or read is None:
            return
        call.messages = answers.messages(item.given)
        usage = {"input_tokens": item.tokens} if item.tokens else {}
        if error is not None or seen is None:
            call.finish(error=error, usage=usage)
            return
        answer = read(self.pipe, seen)
        call.finish(choices=answer.choices, usage=usage | answer.usage, **answer.more)


current: ContextVar[Run | None] = ContextVar("streamgauge_transformers", default=None)


class Watching:
    """Publish a call with what the pipeline does inside this context."""

    __slots__ = ("_call", "_given", "_run", "_token")

    def __init__(self, run: Run, call: Call | None, given: Any) -> None:
        self._run = run
        self._call = call
        self._given = given

    def __enter__(self) -> None:
        self._token: Token[Run | None] = current.set(self._run)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        current.reset(self._token)
        if not isinstance(error, StopIteration):
            self._run.finish(self._call, self._given, error)


class Answers:
    """The pipeline's iterator over its answers; each is published as it is handed out.

    The inputs of a batch go through the model together and share its latency, on top of what each took by itself.
    """

    _inner: Any = None

    def __init__(self, inner: Any, run: Run, given: Any) -> None:
        self._inner = inner
        self._run = run
        self._given = given
        self._handed_out = 0
        self._batch_ms = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[Any]:
        self._inner = iter(self._inner)
        return self

    def __next__(self) -> Any:
        call = self._run.begin()
        with Watching(self._run, call, self._input()):
            began = time.perf_counter()
            answer = next(self._inner)
            self._clock(call, (time.perf_counter() - began) * 1e3)
        self._handed_out += 1
        return answer

    def _clock(self, call: Call | None, took_ms: float) -> None:
        first_of_batch = self._handed_out % self._run.batch_size == 0
        if call is not None:
            call.latency_ms = took_ms if first_of_batch else self._batch_ms + took_ms
        self._batch_ms = took_ms if first_of_batch else self._batch_ms

    def _input(self) -> Any:
        listed = isinstance(self._given, list) and self._handed_out < len(self._given)
        return self._given[self._handed_out] if listed else None


def _counted(item: Item, pieces: Iterable[Any]) -> Iterator[Any]:
    for piece in pieces:
        _count(item, piece)
        yield piece


@quietly("transformers")
def _count(item: Item, made: Any) -> None:
    item.tokens += made["input_ids"].shape[-1]

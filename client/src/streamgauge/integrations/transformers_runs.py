"""Use of an instrumented pipeline: pending inputs, and the events that they become."""

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
from streamgauge.guard import never_raises
from streamgauge.integrations import transformers_outputs
from streamgauge.publisher import EventPublisher


@dataclass(slots=True)
class Item:
    """One input and its token count; 0 if unknown."""

    inputs: Any
    tokens: int = 0


@dataclass(slots=True)
class Run:
    """A call of the pipeline, or an iteration over its outputs.

    Attributes
    ----------
    items
        Preprocessed inputs without an output yet, in order. Empty if worker processes of a data loader preprocess.
    captured
        Arguments and result of the last postprocessing.
    """

    pipe: Any
    publisher: EventPublisher | None
    params: Mapping[str, Any]
    batch_size: int = 1
    items: deque[Item] = field(default_factory=deque)
    captured: transformers_outputs.Captured | None = None

    @never_raises("transformers")
    def start_call(self) -> Call:
        """Start the call for the next output."""
        model = self.pipe.model
        return Call.start(
            self.publisher,
            provider="huggingface",
            request_model=getattr(model, "name_or_path", "") or type(model).__name__,
            parameters=transformers_outputs.parameters(self.pipe, self.params, self.batch_size),
        )

    def enter(self, inputs: Any, encoded: Any) -> Any:
        """Record an input and its token count; return the encoded input, which may be a generator of chunks."""
        item = Item(inputs)
        self.items.append(item)
        if isinstance(encoded, types.GeneratorType):
            return _counted(item, encoded)
        _count(item, encoded)
        return encoded

    @never_raises("transformers")
    def finish(self, call: Call | None, inputs: Any, error: BaseException | None) -> None:
        """Publish the call; ``inputs`` is the input if preprocessing did not record it."""
        item = self.items.popleft() if self.items else Item(inputs)
        read, captured, self.captured = transformers_outputs.reader(self.pipe), self.captured, None
        if call is None or read is None:
            return
        call.messages = transformers_outputs.messages(item.inputs)
        usage = {"input_tokens": item.tokens} if item.tokens else {}
        if error is not None or captured is None:
            call.finish(error=error, usage=usage)
            return
        output = read(self.pipe, captured)
        call.finish(choices=output.choices, usage=usage | output.usage, **output.extra)


current: ContextVar[Run | None] = ContextVar("streamgauge_transformers", default=None)


class PublishedCall:
    """Context manager around one use of the pipeline; it publishes the call at its end."""

    __slots__ = ("_call", "_inputs", "_run", "_token")

    def __init__(self, run: Run, call: Call | None, inputs: Any) -> None:
        self._run = run
        self._call = call
        self._inputs = inputs

    def __enter__(self) -> None:
        self._token: Token[Run | None] = current.set(self._run)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        current.reset(self._token)
        if not isinstance(error, StopIteration):
            self._run.finish(self._call, self._inputs, error)


class OutputIterator:
    """Proxy of the pipeline's iterator; it publishes each output as the host receives it.

    The inputs of a batch share the latency of the model; the time of each input's own processing is added.
    """

    _inner: Any = None

    def __init__(self, inner: Any, run: Run, inputs: Any) -> None:
        self._inner = inner
        self._run = run
        self._inputs = inputs
        self._returned = 0
        self._batch_ms = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[Any]:
        self._inner = iter(self._inner)
        return self

    def __next__(self) -> Any:
        call = self._run.start_call()
        with PublishedCall(self._run, call, self._input()):
            start = time.perf_counter()
            output = next(self._inner)
            self._set_latency(call, (time.perf_counter() - start) * 1e3)
        self._returned += 1
        return output

    def _set_latency(self, call: Call | None, duration_ms: float) -> None:
        first_of_batch = self._returned % self._run.batch_size == 0
        if call is not None:
            call.latency_ms = duration_ms if first_of_batch else self._batch_ms + duration_ms
        self._batch_ms = duration_ms if first_of_batch else self._batch_ms

    def _input(self) -> Any:
        is_list = isinstance(self._inputs, list) and self._returned < len(self._inputs)
        return self._inputs[self._returned] if is_list else None


def _counted(item: Item, chunks: Iterable[Any]) -> Iterator[Any]:
    for chunk in chunks:
        _count(item, chunk)
        yield chunk


@never_raises("transformers")
def _count(item: Item, encoded: Any) -> None:
    item.tokens += encoded["input_ids"].shape[-1]

"""Hugging Face transformers pipelines: text and token classification, zero-shot, fill-mask, text generation.

A pipeline answers through four methods, however it is called: ``run_single`` for one input, ``get_iterator`` for lists,
generators and datasets, ``preprocess`` and ``postprocess`` for each input. They are replaced on the one object that is
watched. ``preprocess`` tells what went in and how many tokens that was; ``postprocess`` has the logits, from which come
the scores of the labels that the caller did not ask for.
"""

from __future__ import annotations

import logging
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from streamgauge.calls import Call
from streamgauge.guard import quietly
from streamgauge.integrations import transformers_answers as answers
from streamgauge.logs import seldom
from streamgauge.publisher import EventPublisher

Params = Mapping[str, Any]


@dataclass(slots=True)
class _Item:
    """One input, and how many tokens the tokenizer made of it; 0: not known."""

    given: Any
    tokens: int = 0


@dataclass(slots=True)
class _Run:
    """One use of the pipeline: inputs on their way through it, and what its last postprocessing saw."""

    items: deque[_Item] = field(default_factory=deque)
    seen: answers.Seen | None = None


_run: ContextVar[_Run | None] = ContextVar("streamgauge_transformers", default=None)


def watch(pipe: Any, publisher: EventPublisher | None = None) -> Any:
    """Publish one event for each input that this pipeline answers; a second time changes nothing."""
    if answers.reader(pipe) is None:
        known = ", ".join(sorted(answers.READERS))
        seldom("transformers", logging.WARNING, "watch: %s is not watched; known: %s", type(pipe).__name__, known)
    elif not isinstance(pipe.__dict__.get("run_single"), _Method):
        for kind in (_RunSingle, _GetIterator, _Preprocess, _Postprocess):
            setattr(pipe, kind.name, kind(pipe, publisher))
    return pipe


class _Method:
    """A method of the pipeline's class, with something around it for this one object.

    A pickle or copy of the pipeline has the plain method in its place: a data loader with spawned workers pickles it.
    """

    name = ""

    def __init__(self, pipe: Any, publisher: EventPublisher | None) -> None:
        self.pipe = pipe
        self.publisher = publisher
        self.plain: Callable[..., Any] = getattr(pipe, self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return types.MethodType, (getattr(type(self.pipe), self.name), self.pipe)


class _Preprocess(_Method):
    name = "preprocess"

    def __call__(self, given: Any, *args: Any, **kwargs: Any) -> Any:
        made = self.plain(given, *args, **kwargs)
        run = _run.get()
        return made if run is None else _entered(run, given, made)


class _Postprocess(_Method):
    name = "postprocess"

    def __call__(self, outputs: Any, **params: Any) -> Any:
        result = self.plain(outputs, **params)
        run = _run.get()
        if run is not None:
            run.seen = answers.Seen(outputs, params, result)
        return result


class _RunSingle(_Method):
    name = "run_single"

    def __call__(self, given: Any, pre: Params, forward: Params, post: Params) -> Any:
        call, run = _begin(self, pre, forward), _Run()
        token = _run.set(run)
        try:
            result = self.plain(given, pre, forward, post)
        except BaseException as error:
            _finish(call, self.pipe, run, given, error)
            raise
        finally:
            _run.reset(token)
        _finish(call, self.pipe, run, given)
        return result


class _GetIterator(_Method):
    name = "get_iterator"

    def __call__(self, given: Any, num_workers: int, batch_size: int, pre: Params, forward: Params, post: Params) -> Any:
        inner = self.plain(given, num_workers, batch_size, pre, forward, post)
        return _Answers(inner, self.pipe, given, batch_size, lambda: _begin(self, pre, forward, batch_size))


class _Answers:
    """The pipeline's iterator over its answers; each is published as it is handed out.

    The inputs of a batch go through the model together and share its latency, on top of what each took by itself.
    """

    _inner: Any = None

    def __init__(self, inner: Any, pipe: Any, given: Any, batch_size: int, begin: Callable[[], Call | None]) -> None:
        self._inner = inner
        self._pipe = pipe
        self._given = given
        self._batch_size = batch_size
        self._begin = begin
        self._run = _Run()
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
        call, began = self._begin(), time.perf_counter()
        token = _run.set(self._run)
        try:
            answer = next(self._inner)
        except StopIteration:
            raise
        except BaseException as error:
            self._finish(call, began, error)
            raise
        finally:
            _run.reset(token)
        self._finish(call, began)
        return answer

    def _finish(self, call: Call | None, began: float, error: BaseException | None = None) -> None:
        took_ms, n = (time.perf_counter() - began) * 1e3, self._handed_out
        self._handed_out += 1
        if n % self._batch_size == 0:
            self._batch_ms = 0.0
        if call is not None:
            call.latency_ms = self._batch_ms + took_ms
        if n % self._batch_size == 0:
            self._batch_ms = took_ms
        given = self._given[n] if isinstance(self._given, list) and n < len(self._given) else None
        _finish(call, self._pipe, self._run, given, error)


@quietly("transformers")
def _begin(method: _Method, pre: Params, forward: Params, batch_size: int = 1) -> Call:
    pipe = method.pipe
    return Call.begin(
        method.publisher,
        provider="huggingface",
        request_model=getattr(pipe.model, "name_or_path", "") or type(pipe.model).__name__,
        parameters=answers.parameters(pipe, {**pre, **forward}, batch_size),
    )


@quietly("transformers")
def _finish(call: Call | None, pipe: Any, run: _Run, given: Any, error: BaseException | None = None) -> None:
    """Publish; ``given`` is the input where a worker process of the data loader took it, which is not seen here."""
    item = run.items.popleft() if run.items else _Item(given)
    read, seen, run.seen = answers.reader(pipe), run.seen, None
    if call is None or read is None:
        return
    call.messages = answers.messages(item.given)
    usage = {"input_tokens": item.tokens} if item.tokens else {}
    if error is not None or seen is None:
        call.finish(error=error, usage=usage)
        return
    answer = read(pipe, seen)
    call.finish(choices=answer.choices, usage=usage | answer.usage, **answer.more)


def _entered(run: _Run, given: Any, made: Any) -> Any:
    item = _Item(given)
    run.items.append(item)
    if isinstance(made, types.GeneratorType):
        return _counted(item, made)
    _count(item, made)
    return made


def _counted(item: _Item, pieces: Iterable[Any]) -> Iterator[Any]:
    """Pass on the pieces that one input is cut into."""
    for piece in pieces:
        _count(item, piece)
        yield piece


@quietly("transformers")
def _count(item: _Item, made: Any) -> None:
    item.tokens += made["input_ids"].shape[-1]

"""`observe`: decorator for functions that call a model without an integration; see `call` for a block of code.

Examples
--------
>>> from streamgauge.testing import Recorder
>>> recorder = Recorder(tenant="clinic", app="triage")
>>> @observe(provider="local", request_model="llama-3.3", publisher=recorder)
... def answer(question: str) -> str:
...     return "Take two tablets."
>>> answer("How much?")
'Take two tablets.'
>>> recorder.events[0]["messages"], recorder.events[0]["choices"][0]["content"]
([{'role': 'user', 'content': 'How much?'}], 'Take two tablets.')
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from streamgauge.calls import Call
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations import _chat_completions
from streamgauge.integrations._accessors import Json, as_json, get, parameters, rows, text
from streamgauge.integrations._generator_proxy import proxy_async_generator, proxy_generator
from streamgauge.integrations._stream_tap import StreamTap, publish
from streamgauge.integrations.context_manager import call
from streamgauge.publisher import EventPublisher

__all__ = ["call", "observe"]

F = TypeVar("F", bound=Callable[..., Any])
Reader = Callable[[Any], Mapping[str, Any]]

CONTENT = frozenset({"messages", "model", "self", "system", "tools"})


@overload
def observe(function: F, /) -> F: ...


@overload
def observe(
    *,
    provider: str = ...,
    request_model: str = ...,
    prompt_name: str | None = ...,
    prompt_version: str | None = ...,
    tags: Mapping[str, str] | None = ...,
    request: Reader | None = ...,
    response: Reader | None = ...,
    publisher: EventPublisher | None = ...,
) -> Callable[[F], F]: ...


def observe(function: Any = None, /, **options: Any) -> Any:
    """Publish each call of a function that calls a model: sync or async, a generator or not.

    The function must make one LLM call. If an instrumented client makes that call, the call would be published twice:
    use `streamgauge.context` there.

    Parameters
    ----------
    provider, request_model
        Provider and model. An argument named ``model`` overrides ``request_model``.
    prompt_name, prompt_version
        Override those of `streamgauge.context`.
    tags
        Tags of the service.
    request
        Called with a dict of the function's arguments; returns fields of the event: ``messages``, ``parameters``, ...
        Default: the prompt is taken from the arguments ``system`` and ``messages``, or is the first text argument.
    response
        Called with the return value, or with the list of yielded items; returns fields of the event: ``choices``,
        ``usage``, ``response_model``, ... Default: a returned text, or the joined yielded texts, are the content. An
        object with ``choices`` is read as a chat completion.
    publisher
        ``None``: the default publisher.
    """
    if function is None:
        return functools.partial(_observed, **options)
    return _observed(function)


def _observed(function: Any, **options: Any) -> Any:
    observer = _Observer(inspect.signature(function), **options)
    return functools.wraps(function)(_wrapper(function)(function, observer))


def _wrapper(function: Any) -> Callable[[Any, _Observer], Any]:
    if inspect.isasyncgenfunction(function):
        return _async_generator
    if inspect.isgeneratorfunction(function):
        return _generator
    return _coroutine if inspect.iscoroutinefunction(function) else _plain


def _async_generator(function: Any, observer: _Observer) -> Any:
    return proxy_async_generator(lambda args, kwargs: (function(*args, **kwargs), observer.tap(args, kwargs)))


def _generator(function: Any, observer: _Observer) -> Any:
    return proxy_generator(lambda args, kwargs: (function(*args, **kwargs), observer.tap(args, kwargs)))


def _plain(function: Any, observer: _Observer) -> Any:
    def observed(*args: Any, **kwargs: Any) -> Any:
        call = observer.start(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            observer.finish(call, error=error)
            raise
        observer.finish(call, result)
        return result

    return observed


def _coroutine(function: Any, observer: _Observer) -> Any:
    async def observed(*args: Any, **kwargs: Any) -> Any:
        call = observer.start(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            observer.finish(call, error=error)
            raise
        observer.finish(call, result)
        return result

    return observed


@dataclass(frozen=True, slots=True)
class _Observer:
    """Options of `observe` for one function."""

    signature: inspect.Signature
    provider: str = ""
    request_model: str = ""
    prompt_name: str | None = None
    prompt_version: str | None = None
    tags: Mapping[str, str] | None = field(default_factory=dict)
    request: Reader | None = None
    response: Reader | None = None
    publisher: EventPublisher | None = None

    @never_raises("observe.start")
    def start(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Start the call."""
        arguments = self.signature.bind_partial(*args, **kwargs).arguments
        request = dict((self.request or _request)(arguments))
        names = {"prompt_name": self.prompt_name, "prompt_version": self.prompt_version}
        prompt = {name: value for name, value in names.items() if value is not None}
        model = request.pop("request_model", "") or self.request_model
        extra = {**prompt, "tags": dict(self.tags or {}), **request}
        return Call.start(self.publisher, provider=self.provider, request_model=model, **extra)

    def finish(self, call: Call | None, result: Any = None, error: BaseException | None = None) -> None:
        """Publish the call."""
        if call is None:
            return
        if error is None:
            with suppress_errors("observe.response"):
                publish(call, dict((self.response or _response)(result)))
        call.finish(error=error)  # no effect if `publish` succeeded

    @never_raises("observe.stream")
    def tap(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StreamTap | None:
        """Start the call of a generator."""
        call = self.start(args, kwargs)
        return None if call is None else StreamTap(call, _YieldAccumulator(self.response))


def _request(arguments: Mapping[str, Any]) -> Json:
    messages = [_chat_completions.message(message) for message in rows(arguments.get("messages"))]
    if not messages:
        texts = (v for name, v in arguments.items() if isinstance(v, str) and name not in CONTENT)
        messages = [{"role": "user", "content": prompt} for prompt in texts][:1]
    system = text(arguments.get("system"))
    settings = {name: value for name, value in arguments.items() if not isinstance(value, str)}
    return {
        "request_model": text(arguments.get("model")),
        "messages": [*([{"role": "system", "content": system}] if system else []), *messages],
        "parameters": parameters(settings, CONTENT),
    }


def _response(result: Any) -> Json:
    if get(result, "choices") is not None:
        return _chat_completions.completion(result)
    if isinstance(result, str):
        return {"choices": [{"content": result}]}
    return {"choices": [{"content": as_json(result)}]} if isinstance(result, (dict, list)) else {}


class _YieldAccumulator:
    """Accumulator of the items of a generator."""

    complete = False  # only the end of the generator completes it

    def __init__(self, response: Reader | None) -> None:
        self._response = response
        self._items: list[Any] = []

    def add(self, item: Any) -> bool:
        """Add an item."""
        self._items.append(item)
        return True

    def result(self) -> Json:
        """Return the response so far."""
        if self._response is not None:
            return dict(self._response(self._items))
        return _response("".join(item for item in self._items if isinstance(item, str)))

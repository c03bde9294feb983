"""Calls of a model that no integration knows: around a function with `observe`, around any code with `call`.

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
from streamgauge.guard import quiet, quietly
from streamgauge.integrations import _chat
from streamgauge.integrations._reading import Json, as_json, get, parameters, rows, text
from streamgauge.integrations._relays import arelayed, relayed
from streamgauge.integrations._taps import Tap, publish
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


def observe(function: Any = None, /, **plan: Any) -> Any:
    """Publish each call of a function that asks a model: sync or async, a generator or not.

    The function is to be one call of one model. Where a watched client makes that call inside, there would be two
    events: use `streamgauge.context` there.

    Parameters
    ----------
    provider, request_model
        Whom it asks, and for what. An argument named ``model`` comes before ``request_model``.
    prompt_name, prompt_version
        In place of those of `streamgauge.context`.
    tags
        The service's own tags.
    request
        Called with a dict of the function's arguments; gives fields of the event: ``messages``, ``parameters``, ...
        Without it the prompt is what the arguments ``system`` and ``messages`` say, or else the first argument that is
        a text.
    response
        Called with what the function returned, or with the list of what it yielded; gives fields of the event:
        ``choices``, ``usage``, ``response_model``, ... Without it a text, or the texts yielded, are the answer, and an
        object with ``choices`` is read as a chat completion.
    publisher
        ``None``: the default one.
    """
    if function is None:
        return functools.partial(_observed, **plan)
    return _observed(function)


def _observed(function: Any, **plan: Any) -> Any:
    observer = _Observer(inspect.signature(function), **plan)
    return functools.wraps(function)(_wrapper(function)(function, observer))


def _wrapper(function: Any) -> Callable[[Any, _Observer], Any]:
    if inspect.isasyncgenfunction(function):
        return lambda made, observer: arelayed(lambda args, kwargs: (made(*args, **kwargs), observer.tap(args, kwargs)))
    if inspect.isgeneratorfunction(function):
        return lambda made, observer: relayed(lambda args, kwargs: (made(*args, **kwargs), observer.tap(args, kwargs)))
    return _coroutine if inspect.iscoroutinefunction(function) else _plain


def _plain(function: Any, observer: _Observer) -> Any:
    def observed(*args: Any, **kwargs: Any) -> Any:
        begun = observer.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            observer.settle(begun, error=error)
            raise
        observer.settle(begun, result)
        return result

    return observed


def _coroutine(function: Any, observer: _Observer) -> Any:
    async def observed(*args: Any, **kwargs: Any) -> Any:
        begun = observer.begin(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            observer.settle(begun, error=error)
            raise
        observer.settle(begun, result)
        return result

    return observed


@dataclass(frozen=True, slots=True)
class _Observer:
    """What `observe` was told of one function."""

    signature: inspect.Signature
    provider: str = ""
    request_model: str = ""
    prompt_name: str | None = None
    prompt_version: str | None = None
    tags: Mapping[str, str] | None = field(default_factory=dict)
    request: Reader | None = None
    response: Reader | None = None
    publisher: EventPublisher | None = None

    @quietly("observe.begin")
    def begin(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Begin the call."""
        given = self.signature.bind_partial(*args, **kwargs).arguments
        asked = dict((self.request or _request)(given))
        names = {"prompt_name": self.prompt_name, "prompt_version": self.prompt_version}
        told = {name: value for name, value in names.items() if value is not None}
        model = asked.pop("request_model", "") or self.request_model
        more = {**told, "tags": dict(self.tags or {}), **asked}
        return Call.begin(self.publisher, provider=self.provider, request_model=model, **more)

    def settle(self, begun: Call | None, result: Any = None, error: BaseException | None = None) -> None:
        """Publish the call."""
        if begun is None:
            return
        if error is None:
            with quiet("observe.answer"):
                publish(begun, dict((self.response or _response)(result)))
        begun.finish(error=error)  # unless it was finished

    @quietly("observe.stream")
    def tap(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tap | None:
        """Begin the call of a generator."""
        begun = self.begin(args, kwargs)
        return None if begun is None else Tap(begun, _Yielded(self.response))


def _request(given: Mapping[str, Any]) -> Json:
    messages = [_chat.message(one) for one in rows(given.get("messages"))]
    if not messages:
        texts = (v for name, v in given.items() if isinstance(v, str) and name not in CONTENT)
        messages = [{"role": "user", "content": asked} for asked in texts][:1]
    system = text(given.get("system"))
    settings = {name: value for name, value in given.items() if not isinstance(value, str)}
    return {
        "request_model": text(given.get("model")),
        "messages": [*([{"role": "system", "content": system}] if system else []), *messages],
        "parameters": parameters(settings, CONTENT),
    }


def _response(result: Any) -> Json:
    if get(result, "choices") is not None:
        return _chat.answer(result)
    if isinstance(result, str):
        return {"choices": [{"content": result}]}
    return {"choices": [{"content": as_json(result)}]} if isinstance(result, (dict, list)) else {}


class _Yielded:
    """What a generator has yielded so far."""

    complete = False  # only its end says so

    def __init__(self, response: Reader | None) -> None:
        self._response = response
        self._items: list[Any] = []

    def add(self, item: Any) -> bool:
        """Take the next item."""
        self._items.append(item)
        return True

    def answer(self) -> Json:
        """Return what there is of the answer."""
        if self._response is not None:
            return dict(self._response(self._items))
        return _response("".join(item for item in self._items if isinstance(item, str)))

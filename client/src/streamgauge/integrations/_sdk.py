"""Watching an SDK client of the kind that OpenAI and Anthropic generate: every call passes its method ``request``.

That one method is replaced on the instance. It sees the body as it is sent, whichever way the host went (``create``,
``parse``, ``stream``, raw and streaming responses, resources taken from the client before it was watched), and once
per call however often the SDK retries.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streamgauge import call_context
from streamgauge.calls import Call
from streamgauge.guard import quiet, quietly
from streamgauge.integrations import _sdk_answers as answers
from streamgauge.integrations._reading import Json, get, text
from streamgauge.publisher import EventPublisher

MARK = "__streamgauge__"
COPIES = ("copy", "with_options")


class Gathering(Protocol):
    """A streamed answer as far as it has come."""

    @property
    def complete(self) -> bool:
        """Whether the model has said that it is done."""

    def add(self, item: Any) -> bool:
        """Take the next item, an object of the SDK or a dict; return whether the model said something in it."""

    def answer(self) -> Json:
        """Return what `Call.finish` takes."""


@dataclass(frozen=True, slots=True)
class Api:
    """How the requests and answers of one API are read.

    Parameters
    ----------
    request
        From the body to what `Call.begin` takes. Under ``unless_given``: fields that `streamgauge.context` overrules.
    answer
        From a whole answer, an object of the SDK or a dict, to what `Call.finish` takes.
    gather
        Makes what collects a streamed answer.
    """

    request: Callable[[Mapping[str, Any]], Json]
    answer: Callable[[Any], Json]
    gather: Callable[[], Gathering]


@dataclass(frozen=True, slots=True)
class Recorder:
    """What is published for the calls of one client.

    Parameters
    ----------
    apis
        By path.
    """

    publisher: EventPublisher | None
    apis: Mapping[str, Api]
    provider: str

    @quietly("sdk.begin")
    def begin(self, options: Any) -> tuple[Call, Api] | None:
        """Begin a call if this request is one."""
        api = self.apis.get(text(get(options, "url")).partition("?")[0])
        if api is None or text(get(options, "method")).lower() != "post":
            return None
        sent, extra = get(options, "json_data"), get(options, "extra_json")
        body = {**(sent if isinstance(sent, Mapping) else {}), **(extra if isinstance(extra, Mapping) else {})}
        request = api.request(body)
        request.update(_unless_given(request.pop("unless_given", {})))
        return Call.begin(self.publisher, provider=self.provider, **request), api


def _unless_given(fields: Json) -> Json:
    now = call_context.current()
    return {name: value for name, value in fields.items() if value and not getattr(now, name)}


def instrument(client: Any, recorder: Recorder, again: Callable[[Any], Any]) -> None:
    """Record the calls of this client, and of the copies that are made of it.

    Parameters
    ----------
    again
        Watches a copy.
    """
    if hasattr(vars(client).get("request"), MARK):
        return
    hooks = {"request": _watched_request(client.request, recorder)}
    hooks |= {name: _watched_copy(getattr(client, name), again) for name in COPIES if hasattr(client, name)}
    hooks["__getstate__"] = _without(client, frozenset({*hooks, "__getstate__"}))
    vars(client).update(hooks)


def _watched_request(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    make = _async_request if inspect.iscoroutinefunction(original) else _sync_request
    watched = functools.wraps(original)(make(original, recorder))
    setattr(watched, MARK, True)
    return watched


def _options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None


def _sync_request(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    def request(*args: Any, **kwargs: Any) -> Any:
        begun = recorder.begin(_options(args, kwargs))
        if begun is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            begun[0].finish(error=error)
            raise
        answers.settle(*begun, result)
        return result

    return request


def _async_request(original: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
    async def request(*args: Any, **kwargs: Any) -> Any:
        begun = recorder.begin(_options(args, kwargs))
        if begun is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            begun[0].finish(error=error)
            raise
        answers.settle(*begun, result)
        return result

    return request


def _watched_copy(original: Callable[..., Any], again: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        with quiet("sdk.copy"):
            again(made)
        return made

    return copy


def _without(client: Any, hooks: frozenset[str]) -> Callable[[], Json]:
    # `copy.copy` takes over the instance's dict. The hooks in it are bound to this client: the copy would go on sending
    # with this one's key and URL. Without them it is an ordinary client that nobody watches.
    return lambda: {name: value for name, value in vars(client).items() if name not in hooks}

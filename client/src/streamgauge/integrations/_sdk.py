"""Instrumentation of the generated SDK clients of OpenAI and Anthropic: every call goes through the method ``request``.

Only this method is replaced on the instance. It receives the body as it is sent, for every public method (``create``,
``parse``, ``stream``, raw and streaming responses, resources taken from the client before it was instrumented). It is
called once per LLM call however often the SDK retries.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge import call_context
from streamgauge.calls import Call
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations import _sdk_responses as responses
from streamgauge.integrations._accessors import Json, get, text
from streamgauge.integrations._api import Api
from streamgauge.publisher import EventPublisher

PATCHED_ATTR = "__streamgauge__"
COPY_METHODS = ("copy", "with_options")


@dataclass(frozen=True, slots=True)
class ClientInstrumentation:
    """Publisher, APIs and provider of one instrumented client.

    Parameters
    ----------
    apis
        APIs by URL path.
    """

    publisher: EventPublisher | None
    apis: Mapping[str, Api]
    provider: str

    @never_raises("sdk.start")
    def start_call(self, options: Any) -> tuple[Call, Api] | None:
        """Start a call if this request is an LLM call."""
        api = self.apis.get(text(get(options, "url")).partition("?")[0])
        if api is None or text(get(options, "method")).lower() != "post":
            return None
        json_data, extra = get(options, "json_data"), get(options, "extra_json")
        body = {
            **(json_data if isinstance(json_data, Mapping) else {}),
            **(extra if isinstance(extra, Mapping) else {}),
        }
        request = api.read_request(body)
        request.update(_context_fallbacks(request.pop("context_fallbacks", {})))
        return Call.start(self.publisher, provider=self.provider, **request), api


def _context_fallbacks(fields: Json) -> Json:
    context = call_context.current()
    return {name: value for name, value in fields.items() if value and not getattr(context, name)}


def instrument(client: Any, instrumentation: ClientInstrumentation, instrument_copy: Callable[[Any], Any]) -> None:
    """Publish the calls of this client and of its copies.

    Parameters
    ----------
    instrument_copy
        Instruments a copy.
    """
    if hasattr(vars(client).get("request"), PATCHED_ATTR):
        return
    hooks = {"request": _instrumented_request(client.request, instrumentation)}
    hooks |= {
        name: _instrumented_copy(getattr(client, name), instrument_copy)
        for name in COPY_METHODS
        if hasattr(client, name)
    }
    hooks["__getstate__"] = _state_without(client, frozenset({*hooks, "__getstate__"}))
    vars(client).update(hooks)


def _instrumented_request(original: Callable[..., Any], instrumentation: ClientInstrumentation) -> Callable[..., Any]:
    make = _async_request if inspect.iscoroutinefunction(original) else _sync_request
    instrumented = functools.wraps(original)(make(original, instrumentation))
    setattr(instrumented, PATCHED_ATTR, True)
    return instrumented


def _options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return kwargs["options"] if "options" in kwargs else args[1] if len(args) > 1 else None


def _sync_request(original: Callable[..., Any], instrumentation: ClientInstrumentation) -> Callable[..., Any]:
    def request(*args: Any, **kwargs: Any) -> Any:
        started = instrumentation.start_call(_options(args, kwargs))
        if started is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            started[0].finish(error=error)
            raise
        responses.settle(*started, result)
        return result

    return request


def _async_request(original: Callable[..., Any], instrumentation: ClientInstrumentation) -> Callable[..., Any]:
    async def request(*args: Any, **kwargs: Any) -> Any:
        started = instrumentation.start_call(_options(args, kwargs))
        if started is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            started[0].finish(error=error)
            raise
        responses.settle(*started, result)
        return result

    return request


def _instrumented_copy(original: Callable[..., Any], instrument_copy: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        with suppress_errors("sdk.copy"):
            instrument_copy(made)
        return made

    return copy


def _state_without(client: Any, hooks: frozenset[str]) -> Callable[[], Json]:
    # `copy.copy` copies the instance's dict. The hooks in it are bound to this client, so the copy would send with this
    # client's key and URL. Without the hooks the copy is an ordinary client that is not instrumented.
    return lambda: {name: value for name, value in vars(client).items() if name not in hooks}

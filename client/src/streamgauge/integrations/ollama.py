"""Ollama client: ``chat`` and ``generate``, sync and async, unary and streamed.

Instrument a ``Client`` or ``AsyncClient``; the functions of the module ``ollama`` use a client that is not accessible.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.calls import Call
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations import _chat_completions
from streamgauge.integrations._accessors import Json, count, get, log_probabilities, parameters, rows, text
from streamgauge.integrations._generator_proxy import proxy_async_generator, proxy_generator
from streamgauge.integrations._stream_tap import StreamTap, publish
from streamgauge.publisher import EventPublisher

PROVIDER = "ollama"
PATCHED_ATTR = "__streamgauge__"
CONTENT = frozenset(
    {"context", "images", "messages", "model", "options", "prompt", "suffix", "system", "template", "tools"}
)


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the chats and generations of this client; return the client.

    Parameters
    ----------
    provider
        ``provider`` of the events; default: ``ollama``.
    """
    if hasattr(vars(client).get("chat"), PATCHED_ATTR):
        return client
    hooks = {}
    for name, read in (("chat", _chat_request), ("generate", _generate_request)):
        original = getattr(client, name)
        instrumented = _instrumented(
            original, _Method(publisher, provider or PROVIDER, inspect.signature(original), read)
        )
        setattr(instrumented, PATCHED_ATTR, True)
        hooks[name] = instrumented
    vars(client).update(hooks)
    return client


@dataclass(frozen=True, slots=True)
class _Method:
    """One method of one client, and the reader of its arguments."""

    publisher: EventPublisher | None
    provider: str
    signature: inspect.Signature
    read: Callable[[Mapping[str, Any]], Json]

    def prepare(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Call | None]:
        """Read the arguments now, as the library does, and return a function that starts the call, perhaps later.

        A stream sends its request when its first item is requested, perhaps in another context.
        """
        request: Json = {}
        with suppress_errors("ollama.request"):
            request = self.read(self.signature.bind_partial(*args, **kwargs).arguments)
        context = contextvars.copy_context()
        return never_raises("ollama.start")(
            lambda: context.copy().run(Call.start, self.publisher, provider=self.provider, **request)
        )


def _instrumented(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    make = _async_method if inspect.iscoroutinefunction(original) else _sync_method
    return functools.wraps(original)(make(original, method))


def _sync_method(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    def instrumented(*args: Any, **kwargs: Any) -> Any:
        start = method.prepare(args, kwargs)
        call = None if kwargs.get("stream") else start()
        try:
            response = original(*args, **kwargs)
        except BaseException as error:
            _fail(call or start(), error)
            raise
        if kwargs.get("stream"):
            return proxy_generator(lambda *_: (response, _tap(start())))()
        _settle(call, response)
        return response

    return instrumented


def _async_method(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    async def instrumented(*args: Any, **kwargs: Any) -> Any:
        start = method.prepare(args, kwargs)
        call = None if kwargs.get("stream") else start()
        try:
            response = await original(*args, **kwargs)
        except BaseException as error:
            _fail(call or start(), error)
            raise
        if kwargs.get("stream"):
            return proxy_async_generator(lambda *_: (response, _tap(start())))()
        _settle(call, response)
        return response

    return instrumented


@never_raises("ollama.stream")
def _tap(call: Call | None) -> StreamTap | None:
    return None if call is None else StreamTap(call, ResponseAccumulator())


def _fail(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.finish(error=error)


def _settle(call: Call | None, response: Any) -> None:
    if call is not None:
        with suppress_errors("ollama.response"):
            publish(call, _response(response))
        call.finish()  # no effect if `publish` succeeded


def _settings(arguments: Mapping[str, Any]) -> Json:
    options = arguments.get("options")
    settings = options if isinstance(options, Mapping) else dict(options) if options is not None else {}
    return parameters({**arguments, **settings}, CONTENT)


def _chat_request(arguments: Mapping[str, Any]) -> Json:
    messages = [_message(message) for message in rows(arguments.get("messages"))]
    return {"request_model": text(arguments.get("model")), "messages": messages, "parameters": _settings(arguments)}


def _message(message: Any) -> Json:
    converted = _chat_completions.message(message)
    converted["content"] = _with_images(converted["content"], get(message, "images"))
    if tool := text(get(message, "tool_name")):
        converted["name"] = tool
    return converted


def _with_images(content: str, images: Any) -> str:
    return "\n".join([*([content] if content else []), *("[image]" for _ in rows(images))])


def _generate_request(arguments: Mapping[str, Any]) -> Json:
    system = text(arguments.get("system"))
    prompt = {"role": "user", "content": _with_images(text(arguments.get("prompt")), arguments.get("images"))}
    return {
        "request_model": text(arguments.get("model")),
        "messages": [*([{"role": "system", "content": system}] if system else []), prompt],
        "parameters": _settings(arguments),
    }


def _response(response: Any) -> Json:
    message = get(response, "message")
    choice = {
        "content": text(get(response, "response") if message is None else get(message, "content")),
        "finish_reason": text(get(response, "done_reason")) or None,
        "tool_calls": _chat_completions.tool_calls(message),
        "logprobs": log_probabilities(get(response, "logprobs")) or None,
    }
    return {"choices": [choice], "usage": _usage(response), "response_model": text(get(response, "model"))}


def _usage(response: Any) -> Json | None:
    read, written = get(response, "prompt_eval_count"), get(response, "eval_count")
    if read is None and written is None:
        return None
    return {"input_tokens": count(read), "output_tokens": count(written)}  # Ollama does not report cached tokens


class ResponseAccumulator:
    """Accumulator of a streamed response."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[Json] = []
        self._logprobs: list[float] = []
        self._last: Any = None

    @property
    def complete(self) -> bool:
        """True if the last line has arrived."""
        return bool(get(self._last, "done"))

    def add(self, item: Any) -> bool:
        """Add a line."""
        self._last = item
        choice = _response(item)["choices"][0]
        self._texts.append(choice["content"])
        self._calls += choice["tool_calls"]
        self._logprobs += choice["logprobs"] or []
        thought = get(item, "thinking") or get(item, "message", "thinking")
        return bool(choice["content"] or choice["tool_calls"] or thought)

    def result(self) -> Json:
        """Return the response so far."""
        if self._last is None:
            return {}
        output = {"content": "".join(self._texts), "tool_calls": self._calls, "logprobs": self._logprobs or None}
        result = _response(self._last)
        return {**result, "choices": [{**result["choices"][0], **output}]}

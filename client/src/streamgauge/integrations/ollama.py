"""The ollama client: ``chat`` and ``generate``, sync and async, whole and streamed.

Watch a ``Client`` or ``AsyncClient`` of your own; the functions of the module ``ollama`` belong to a client of its own.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge.calls import Call
from streamgauge.guard import quiet, quietly
from streamgauge.integrations import _chat
from streamgauge.integrations._reading import Json, count, get, log_probabilities, parameters, rows, text
from streamgauge.integrations._relays import arelayed, relayed
from streamgauge.integrations._taps import Tap, publish
from streamgauge.publisher import EventPublisher

PROVIDER = "ollama"
MARK = "__streamgauge__"
CONTENT = frozenset(
    {"context", "images", "messages", "model", "options", "prompt", "suffix", "system", "template", "tools"}
)


def instrument(client: Any, publisher: EventPublisher | None = None, *, provider: str | None = None) -> Any:
    """Publish the chats and generations of this client; return it.

    Parameters
    ----------
    provider
        The event's ``provider``; ``None``: ``ollama``.
    """
    if hasattr(vars(client).get("chat"), MARK):
        return client
    hooks = {}
    for name, read in (("chat", _chat_request), ("generate", _generate_request)):
        original = getattr(client, name)
        watched = _watched(original, _Method(publisher, provider or PROVIDER, inspect.signature(original), read))
        setattr(watched, MARK, True)
        hooks[name] = watched
    vars(client).update(hooks)
    return client


@dataclass(frozen=True, slots=True)
class _Method:
    """One method of one client, and how its arguments are read."""

    publisher: EventPublisher | None
    provider: str
    signature: inspect.Signature
    read: Callable[[Mapping[str, Any]], Json]

    def prepare(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[], Call | None]:
        """Read the arguments now, as the library does, and return what begins the call, which may be later.

        A stream sends its request when its first item is asked for, perhaps under another prompt.
        """
        request: Json = {}
        with quiet("ollama.request"):
            request = self.read(self.signature.bind_partial(*args, **kwargs).arguments)
        here = contextvars.copy_context()
        return quietly("ollama.begin")(
            lambda: here.copy().run(Call.begin, self.publisher, provider=self.provider, **request)
        )


def _watched(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    make = _async_method if inspect.iscoroutinefunction(original) else _sync_method
    return functools.wraps(original)(make(original, method))


def _sync_method(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        begin = method.prepare(args, kwargs)
        call = None if kwargs.get("stream") else begin()
        try:
            answer = original(*args, **kwargs)
        except BaseException as error:
            _failed(call or begin(), error)
            raise
        if kwargs.get("stream"):
            return relayed(lambda *_: (answer, _tap(begin())))()
        _settle(call, answer)
        return answer

    return watched


def _async_method(original: Callable[..., Any], method: _Method) -> Callable[..., Any]:
    async def watched(*args: Any, **kwargs: Any) -> Any:
        begin = method.prepare(args, kwargs)
        call = None if kwargs.get("stream") else begin()
        try:
            answer = await original(*args, **kwargs)
        except BaseException as error:
            _failed(call or begin(), error)
            raise
        if kwargs.get("stream"):
            return arelayed(lambda *_: (answer, _tap(begin())))()
        _settle(call, answer)
        return answer

    return watched


@quietly("ollama.stream")
def _tap(call: Call | None) -> Tap | None:
    return None if call is None else Tap(call, Gathered())


def _failed(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.finish(error=error)


def _settle(call: Call | None, answer: Any) -> None:
    if call is not None:
        with quiet("ollama.answer"):
            publish(call, _answer(answer))
        call.finish()  # if that failed


def _settings(given: Mapping[str, Any]) -> Json:
    options = given.get("options")
    chosen = options if isinstance(options, Mapping) else dict(options) if options is not None else {}
    return parameters({**given, **chosen}, CONTENT)


def _chat_request(given: Mapping[str, Any]) -> Json:
    messages = [_message(one) for one in rows(given.get("messages"))]
    return {"request_model": text(given.get("model")), "messages": messages, "parameters": _settings(given)}


def _message(one: Any) -> Json:
    said = _chat.message(one)
    said["content"] = _with_images(said["content"], get(one, "images"))
    if tool := text(get(one, "tool_name")):
        said["name"] = tool
    return said


def _with_images(said: str, images: Any) -> str:
    return "\n".join([*([said] if said else []), *("[image]" for _ in rows(images))])


def _generate_request(given: Mapping[str, Any]) -> Json:
    system = text(given.get("system"))
    asked = {"role": "user", "content": _with_images(text(given.get("prompt")), given.get("images"))}
    return {
        "request_model": text(given.get("model")),
        "messages": [*([{"role": "system", "content": system}] if system else []), asked],
        "parameters": _settings(given),
    }


def _answer(response: Any) -> Json:
    said = get(response, "message")
    choice = {
        "content": text(get(response, "response") if said is None else get(said, "content")),
        "finish_reason": text(get(response, "done_reason")) or None,
        "tool_calls": _chat.tool_calls(said),
        "logprobs": log_probabilities(get(response, "logprobs")) or None,
    }
    return {"choices": [choice], "usage": _usage(response), "response_model": text(get(response, "model"))}


def _usage(response: Any) -> Json | None:
    read, written = get(response, "prompt_eval_count"), get(response, "eval_count")
    if read is None and written is None:
        return None
    return {"input_tokens": count(read), "output_tokens": count(written)}  # no word on how many were cached


class Gathered:
    """A streamed answer as far as it has come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[Json] = []
        self._scored: list[float] = []
        self._last: Any = None

    @property
    def complete(self) -> bool:
        """Whether the last line came."""
        return bool(get(self._last, "done"))

    def add(self, item: Any) -> bool:
        """Take the next part."""
        self._last = item
        choice = _answer(item)["choices"][0]
        self._texts.append(choice["content"])
        self._calls += choice["tool_calls"]
        self._scored += choice["logprobs"] or []
        thought = get(item, "thinking") or get(item, "message", "thinking")
        return bool(choice["content"] or choice["tool_calls"] or thought)

    def answer(self) -> Json:
        """Return what there is of it."""
        if self._last is None:
            return {}
        said = {"content": "".join(self._texts), "tool_calls": self._calls, "logprobs": self._scored or None}
        whole = _answer(self._last)
        return {**whole, "choices": [{**whole["choices"][0], **said}]}

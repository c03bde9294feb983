"""google-genai: every answer of a Gemini model, at Google AI or Vertex AI, as an event."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from google.genai.models import AsyncModels, Models

from streamgauge.calls import Call
from streamgauge.guard import quiet, quietly
from streamgauge.integrations._taps import Tap, publish
from streamgauge.integrations.google_genai_answers import Answer
from streamgauge.integrations.google_genai_contents import messages, parameters
from streamgauge.publisher import EventPublisher
from streamgauge.streams import WatchedAsyncStream, WatchedStream

T = TypeVar("T")

# Where one call of a method is one answer of a model. The public methods also run Python functions for the model and
# ask it again with their results, each time through the inner ones: watched there, every answer is an event of its own.
# A version of the library that has only the public ones is watched there.
WHOLE = ("_generate_content_with_continuation", "_generate_content", "generate_content")
STREAMED = ("_generate_content_stream_with_continuation", "_generate_content_stream", "generate_content_stream")


def instrument(client: T, publisher: EventPublisher | None = None) -> T:
    """Publish every ``generate_content`` of this client: sync and async, streamed or not, and what chats and tools do.

    Parameters
    ----------
    client
        A ``google.genai.Client`` (its ``aio`` comes with it), or its ``models`` or ``aio`` alone.
    publisher
        ``None``: the default one.
    """
    aio = getattr(client, "aio", None)
    for models in (client, getattr(client, "models", None), getattr(aio, "models", None)):
        if isinstance(models, (Models, AsyncModels)) and "_streamgauge" not in models.__dict__:
            models.__dict__["_streamgauge"] = True
            _wrap(models, publisher)
    return client


def _wrap(models: Models | AsyncModels, publisher: EventPublisher | None) -> None:
    begin = functools.partial(_begin, publisher, _provider(models))
    plain, streamed = (_whole_async, _stream_async) if isinstance(models, AsyncModels) else (_whole, _stream)
    for names, wrapper in ((WHOLE, plain), (STREAMED, streamed)):
        name = next(n for n in names if hasattr(models, n))
        models.__dict__[name] = wrapper(getattr(models, name), begin)


def _provider(models: Models | AsyncModels) -> str:
    return "gcp.vertex_ai" if getattr(models._api_client, "vertexai", False) else "gcp.gemini"  # noqa: SLF001


@quietly("google_genai")
def _begin(publisher: EventPublisher | None, provider: str, asked: dict[str, Any]) -> Call:
    call = Call.begin(publisher, provider=provider, request_model=_model(str(asked.get("model") or "")))
    with quiet("google_genai"):
        call.parameters = parameters(asked.get("config"))
    with quiet("google_genai"):
        call.messages = messages(asked.get("contents"), asked.get("config"))
    return call


def _model(name: str) -> str:
    """Return a model's name without the resource path it may be given by; tuned models are known by theirs."""
    return name if "tunedModels/" in name or "endpoints/" in name else name.rsplit("/", 1)[-1]


Begin = Callable[[dict[str, Any]], Call | None]


def _whole(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **asked: Any) -> Any:
        call = begin(asked)
        try:
            response = original(*args, **asked)
        except BaseException as error:
            _fail(call, error)
            raise
        _finish(call, response)
        return response

    return generate


def _whole_async(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    async def generate(*args: Any, **asked: Any) -> Any:
        call = begin(asked)
        try:
            response = await original(*args, **asked)
        except BaseException as error:
            _fail(call, error)
            raise
        _finish(call, response)
        return response

    return generate


def _fail(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.finish(error=error)


@quietly("google_genai")
def _finish(call: Call | None, response: Any) -> None:
    if call is None:
        return
    answer = Answer()
    with quiet("google_genai"):
        answer.add(response)
    publish(call, answer.answer())


def _stream(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **asked: Any) -> Any:
        call = begin(asked)
        stream = original(*args, **asked)
        return stream if call is None else WatchedStream(stream, **_eyes(call))

    return generate


def _stream_async(original: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **asked: Any) -> Any:
        call = begin(asked)
        stream = original(*args, **asked)
        if call is None:
            return stream
        # Some versions hand out the stream itself, some a coroutine that returns it.
        return _awaited(stream, call) if hasattr(stream, "__await__") else WatchedAsyncStream(stream, **_eyes(call))

    return generate


async def _awaited(stream: Any, call: Call) -> Any:
    try:
        opened = await stream
    except BaseException as error:
        call.finish(error=error)
        raise
    return WatchedAsyncStream(opened, **_eyes(call))


def _eyes(call: Call) -> dict[str, Callable[..., object]]:
    """Return what looks at a stream: at each chunk, at its end, at its error."""
    tap = Tap(call, Answer())
    return {"on_item": tap.item, "on_end": lambda left: tap.left() if left else tap.ended(), "on_error": tap.ended}

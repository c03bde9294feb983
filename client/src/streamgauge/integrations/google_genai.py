"""google-genai SDK: one event per response of a Gemini model, from Google AI or Vertex AI."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from google.genai.models import AsyncModels, Models

from streamgauge.calls import Call
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations._stream_tap import StreamTap, publish
from streamgauge.integrations.google_genai_requests import messages, parameters
from streamgauge.integrations.google_genai_responses import ResponseAccumulator
from streamgauge.publisher import EventPublisher
from streamgauge.stream_proxy import AsyncStreamProxy, StreamProxy

T = TypeVar("T")
PATCHED_ATTR = "_streamgauge"

# Methods of which one call is one response of a model. The public methods also run Python functions for the model and
# call it again with the results, each time through the inner methods: instrumenting those gives one event per response.
# The public methods are instrumented in versions of the library without the inner methods.
UNARY = ("_generate_content_with_continuation", "_generate_content", "generate_content")
STREAMING = ("_generate_content_stream_with_continuation", "_generate_content_stream", "generate_content_stream")


def instrument(client: T, publisher: EventPublisher | None = None) -> T:
    """Publish every ``generate_content`` of this client: sync and async, streamed or not, also from chats and tools.

    Parameters
    ----------
    client
        A ``google.genai.Client``, ``aio`` included, or only its ``models`` or ``aio``.
    publisher
        ``None``: the default publisher.
    """
    aio = getattr(client, "aio", None)
    for models in (client, getattr(client, "models", None), getattr(aio, "models", None)):
        if isinstance(models, (Models, AsyncModels)) and PATCHED_ATTR not in models.__dict__:
            models.__dict__[PATCHED_ATTR] = True
            _wrap(models, publisher)
    return client


def _wrap(models: Models | AsyncModels, publisher: EventPublisher | None) -> None:
    start = functools.partial(_start_call, publisher, _provider(models))
    unary, streaming = (_unary_async, _stream_async) if isinstance(models, AsyncModels) else (_unary, _stream)
    for names, wrapper in ((UNARY, unary), (STREAMING, streaming)):
        name = next(n for n in names if hasattr(models, n))
        models.__dict__[name] = wrapper(getattr(models, name), start)


def _provider(models: Models | AsyncModels) -> str:
    return "gcp.vertex_ai" if getattr(models._api_client, "vertexai", False) else "gcp.gemini"  # noqa: SLF001


@never_raises("google_genai")
def _start_call(publisher: EventPublisher | None, provider: str, arguments: dict[str, Any]) -> Call:
    call = Call.start(publisher, provider=provider, request_model=_model(str(arguments.get("model") or "")))
    with suppress_errors("google_genai"):
        call.parameters = parameters(arguments.get("config"))
    with suppress_errors("google_genai"):
        call.messages = messages(arguments.get("contents"), arguments.get("config"))
    return call


def _model(name: str) -> str:
    """Return a model's name without its resource path; tuned models keep theirs."""
    return name if "tunedModels/" in name or "endpoints/" in name else name.rsplit("/", 1)[-1]


StartCall = Callable[[dict[str, Any]], Call | None]


def _unary(original: Callable[..., Any], start: StartCall) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **arguments: Any) -> Any:
        call = start(arguments)
        try:
            response = original(*args, **arguments)
        except BaseException as error:
            _fail(call, error)
            raise
        _finish(call, response)
        return response

    return generate


def _unary_async(original: Callable[..., Any], start: StartCall) -> Callable[..., Any]:
    @functools.wraps(original)
    async def generate(*args: Any, **arguments: Any) -> Any:
        call = start(arguments)
        try:
            response = await original(*args, **arguments)
        except BaseException as error:
            _fail(call, error)
            raise
        _finish(call, response)
        return response

    return generate


def _fail(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.finish(error=error)


@never_raises("google_genai")
def _finish(call: Call | None, response: Any) -> None:
    if call is None:
        return
    accumulator = ResponseAccumulator()
    with suppress_errors("google_genai"):
        accumulator.add(response)
    publish(call, accumulator.result())


def _stream(original: Callable[..., Any], start: StartCall) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **arguments: Any) -> Any:
        call = start(arguments)
        stream = original(*args, **arguments)
        return stream if call is None else StreamProxy(stream, **_hooks(call))

    return generate


def _stream_async(original: Callable[..., Any], start: StartCall) -> Callable[..., Any]:
    @functools.wraps(original)
    def generate(*args: Any, **arguments: Any) -> Any:
        call = start(arguments)
        stream = original(*args, **arguments)
        if call is None:
            return stream
        # Some versions return the stream itself, some a coroutine that returns it.
        return _awaited(stream, call) if hasattr(stream, "__await__") else AsyncStreamProxy(stream, **_hooks(call))

    return generate


async def _awaited(stream: Any, call: Call) -> Any:
    try:
        opened = await stream
    except BaseException as error:
        call.finish(error=error)
        raise
    return AsyncStreamProxy(opened, **_hooks(call))


def _hooks(call: Call) -> dict[str, Callable[..., object]]:
    """Return the callbacks for the chunks, the end and the error of a stream."""
    tap = StreamTap(call, ResponseAccumulator())
    return {
        "on_item": tap.item,
        "on_end": lambda abandoned: tap.abandoned() if abandoned else tap.ended(),
        "on_error": tap.ended,
    }

"""`call`: context manager around one LLM call.

Examples
--------
>>> from streamgauge.testing import Recorder
>>> recorder = Recorder(tenant="clinic", app="triage")
>>> with call(provider="local", request_model="llama-3.3", messages="How much?", publisher=recorder) as block:
...     block.answer("Take two tablets.", finish_reason="stop", usage={"input_tokens": 9, "output_tokens": 4})
>>> recorder.events[0]["choices"][0]["content"], recorder.events[0]["usage"]["output_tokens"]
('Take two tablets.', 4)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from streamgauge.calls import Call
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations import _chat_completions
from streamgauge.integrations._accessors import Json
from streamgauge.publisher import EventPublisher


class call:  # noqa: N801 - `with streamgauge.call(provider="local") as call:`
    """Publish a ``with`` or ``async with`` block as one LLM call, also if the block raises.

    Parameters
    ----------
    provider, request_model
        Provider and model of the request.
    messages
        Prompt: a text, or messages in OpenAI's format.
    parameters, documents
        Settings of the request; passages retrieved for the prompt.
    publisher
        ``None``: the default publisher.
    extra
        Further fields of the event, such as ``prompt_name``; they override `streamgauge.context`.
    """

    def __init__(  # noqa: PLR0913 - each is a field of the event
        self,
        *,
        provider: str = "",
        request_model: str = "",
        messages: str | Iterable[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        documents: Iterable[Mapping[str, Any]] = (),
        publisher: EventPublisher | None = None,
        **extra: Any,
    ) -> None:
        self._publisher = publisher
        self._messages = messages
        self._request = {
            "provider": provider,
            "request_model": request_model,
            "parameters": parameters,
            "documents": documents,
            **extra,
        }
        self._call: Call | None = None
        self._choices: list[Json] = []
        self._response: Json = {}

    @property
    def call_id(self) -> str:
        """``call_id`` for feedback; empty before the block."""
        return "" if self._call is None else self._call.call_id

    def first_token(self) -> None:
        """Record the time to the first token."""
        if self._call is not None:
            self._call.first_token()

    @never_raises("call.answer")
    def answer(
        self,
        content: str = "",
        *,
        finish_reason: str | None = None,
        tool_calls: Iterable[Mapping[str, Any]] = (),
        usage: Mapping[str, int] | None = None,
        response_model: str = "",
        **extra: Any,
    ) -> None:
        """Set the model's response; call again for each further choice.

        Parameters
        ----------
        tool_calls
            ``{"id": ..., "name": ..., "arguments": <JSON text>}``.
        usage
            ``input_tokens``, ``output_tokens``, ``cached_tokens``, ``reasoning_tokens``. Cached tokens are part of the
            input, reasoning tokens part of the output.
        extra
            Further fields of the event.
        """
        self._choices.append({"content": content, "finish_reason": finish_reason, "tool_calls": list(tool_calls)})
        if usage is not None:
            self._response["usage"] = usage
        self._response.update(extra, response_model=response_model or self._response.get("response_model", ""))

    @never_raises("call.start")
    def _start(self) -> None:
        messages = self._messages
        if isinstance(messages, str):
            converted = [{"role": "user", "content": messages}]
        else:
            converted = [_chat_completions.message(message) for message in messages]
        self._call = Call.start(self._publisher, messages=converted, **self._request)

    def _end(self, error: BaseException | None) -> None:
        if self._call is not None:
            with suppress_errors("call.end"):
                self._call.finish(choices=self._choices, error=error, **self._response)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(error)

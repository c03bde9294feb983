"""`call`: one call of a model as a block of code.

Examples
--------
>>> from streamgauge.testing import Recorder
>>> recorder = Recorder(tenant="clinic", app="triage")
>>> with call(provider="local", request_model="llama-3.3", messages="How much?", publisher=recorder) as asked:
...     asked.answer("Take two tablets.", finish_reason="stop", usage={"input_tokens": 9, "output_tokens": 4})
>>> recorder.events[0]["choices"][0]["content"], recorder.events[0]["usage"]["output_tokens"]
('Take two tablets.', 4)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from streamgauge.calls import Call
from streamgauge.guard import quiet, quietly
from streamgauge.integrations import _chat
from streamgauge.integrations._reading import Json
from streamgauge.publisher import EventPublisher


class call:  # noqa: N801 - `with streamgauge.call(provider="local") as call:`
    """Publish what happens inside as one call of a model, also when it ends in an error; ``with`` or ``async with``.

    Parameters
    ----------
    provider, request_model
        Whom is asked, and for what.
    messages
        The prompt: a text, or messages as OpenAI writes them.
    parameters, documents
        Settings; passages retrieved for the prompt.
    publisher
        ``None``: the default one.
    more
        Any other field of the event, such as ``prompt_name``, in place of what `streamgauge.context` says.
    """

    def __init__(  # noqa: PLR0913 - each is a part of the event
        self,
        *,
        provider: str = "",
        request_model: str = "",
        messages: str | Iterable[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        documents: Iterable[Mapping[str, Any]] = (),
        publisher: EventPublisher | None = None,
        **more: Any,
    ) -> None:
        self._publisher = publisher
        self._messages = messages
        self._given = {
            "provider": provider,
            "request_model": request_model,
            "parameters": parameters,
            "documents": documents,
            **more,
        }
        self._call: Call | None = None
        self._choices: list[Json] = []
        self._answered: Json = {}

    @property
    def call_id(self) -> str:
        """Return the id that feedback names the call by; empty before the block."""
        return "" if self._call is None else self._call.call_id

    def first_token(self) -> None:
        """Note the time to the first token."""
        if self._call is not None:
            self._call.first_token()

    @quietly("call.answer")
    def answer(
        self,
        content: str = "",
        *,
        finish_reason: str | None = None,
        tool_calls: Iterable[Mapping[str, Any]] = (),
        usage: Mapping[str, int] | None = None,
        response_model: str = "",
        **more: Any,
    ) -> None:
        """Say what the model answered; once more for each further choice.

        Parameters
        ----------
        tool_calls
            ``{"id": ..., "name": ..., "arguments": <JSON text>}``.
        usage
            ``input_tokens``, ``output_tokens``, ``cached_tokens``, ``reasoning_tokens``; cached ones are part of the
            input, reasoning ones of the output.
        more
            Any other field of the event.
        """
        self._choices.append({"content": content, "finish_reason": finish_reason, "tool_calls": list(tool_calls)})
        if usage is not None:
            self._answered["usage"] = usage
        self._answered.update(more, response_model=response_model or self._answered.get("response_model", ""))

    @quietly("call.begin")
    def _begin(self) -> None:
        messages = self._messages
        asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else map(_chat.message, messages)
        self._call = Call.begin(self._publisher, messages=list(asked), **self._given)

    def _end(self, error: BaseException | None) -> None:
        if self._call is not None:
            with quiet("call.end"):
                self._call.finish(choices=self._choices, error=error, **self._answered)

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end(error)

"""`Call`: one LLM call in progress, and the event that it becomes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamgauge import call_context
from streamgauge.copying import deep_copy
from streamgauge.defaults import default_publisher
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.ids import new_id
from streamgauge.publisher import EventPublisher

MAX_ERROR_CHARS = 2_000
Json = dict[str, Any]


class Call:
    """One LLM call in progress: created by `start`, published once by `finish`. No method raises.

    The attributes are plain values in the layout of the monitor's ``LLMEvent``. An integration may change them until
    `finish`.

    Attributes
    ----------
    event_id, call_id
        New ids; feedback refers to the call by ``call_id``.
    request_model, response_model, provider
        Names as the library reports them.
    messages, documents, choices, usage, parameters, tags, groups
        Parts of the event. ``messages`` and ``documents`` are copies: the host may change its own objects.
    extra
        Further fields of the event, in the schema (``conversation_id``, ``cost_usd``) or not (``trace_id``).
    finished
        Whether `finish` was called.
    """

    __slots__ = (
        "_context",
        "_publisher",
        "_started",
        "call_id",
        "choices",
        "documents",
        "event_id",
        "extra",
        "finished",
        "groups",
        "latency_ms",
        "messages",
        "parameters",
        "provider",
        "request_model",
        "response_model",
        "system_fingerprint",
        "tags",
        "time",
        "ttft_ms",
        "usage",
    )

    def __init__(self, publisher: EventPublisher | None = None, *, provider: str = "", request_model: str = "") -> None:
        self._publisher = publisher
        self._context: call_context.Context | None = None
        self._started = time.perf_counter()
        self.time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.event_id = new_id()
        self.call_id = new_id()
        self.provider = provider
        self.request_model = request_model
        self.response_model = ""
        self.system_fingerprint: str | None = None
        self.messages: list[Json] = []
        self.documents: list[Json] = []
        self.choices: list[Json] = []
        self.parameters: Json = {}
        self.tags: Json = {}
        self.groups: Json = {}
        self.usage: Json | None = None
        self.latency_ms: float | None = None
        self.ttft_ms: float | None = None
        self.extra: Json = {}
        self.finished = False

    @classmethod
    def start(  # noqa: PLR0913 - keyword parameters, most of them optional
        cls,
        publisher: EventPublisher | None = None,
        *,
        provider: str,
        request_model: str = "",
        messages: Iterable[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        documents: Iterable[Mapping[str, Any]] = (),
        **extra: Any,
    ) -> Call:
        """Start the clock; take prompt, conversation, user and tags from the innermost `streamgauge.context`.

        Parameters
        ----------
        publisher
            ``None``: the default publisher.
        provider, request_model
            Provider and model of the request.
        messages, parameters, documents
            As in ``LLMEvent``. Documents are appended to the documents of the context.
        extra
            Further fields; they override the context. ``tags`` and ``groups`` are merged with those of the context.
        """
        call = cls(publisher, provider=provider, request_model=request_model)
        with suppress_errors("call"):
            call._apply_context(call_context.current(), extra)
            call.messages = deep_copy(list(messages))
            call.parameters = deep_copy(dict(parameters or {}))
            call.documents += deep_copy(list(documents))
        return call

    def _apply_context(self, context: call_context.Context, extra: Json) -> None:
        self._context = context
        self.tags = {**context.tags, **(extra.pop("tags", None) or {})}
        self.groups = {**context.groups, **(extra.pop("groups", None) or {})}
        self.documents = deep_copy(list(context.documents))
        self.extra = {
            "prompt_name": context.prompt_name,
            "prompt_version": context.prompt_version,
            "conversation_id": context.conversation_id,
            "user_id": context.user_id,
        }
        if context.tenant:
            self.extra["tenant"] = context.tenant
        if context.app:
            self.extra["app"] = context.app
        self.extra.update(extra)

    @never_raises("call")
    def first_token(self) -> None:
        """Record the time to the first token; later calls have no effect."""
        if self.ttft_ms is None:
            self.ttft_ms = (time.perf_counter() - self._started) * 1e3

    @never_raises("call")
    def finish(  # noqa: PLR0913
        self,
        *,
        choices: Sequence[Mapping[str, Any]] = (),
        usage: Mapping[str, Any] | None = None,
        response_model: str | None = None,
        system_fingerprint: str | None = None,
        cost_usd: float | None = None,
        error: BaseException | Mapping[str, Any] | None = None,
        **extra: Any,
    ) -> None:
        """Stop the clock and publish the event; later calls have no effect.

        Parameters
        ----------
        choices, usage, response_model, system_fingerprint
            If not empty, replaces the attribute of that name.
        cost_usd
            Only if the library reports it; the monitor computes it otherwise.
        error
            Exception that ended the call, or ``{"type": ..., "message": ..., "status": ...}``.
        extra
            Further fields.
        """
        if self.finished:
            return
        self.finished = True
        self._stop_clock()
        with suppress_errors("call"):  # an invalid value must not cost the event
            self.response_model = response_model or self.response_model
            self.system_fingerprint = system_fingerprint or self.system_fingerprint
            self._apply_outcome(cost_usd, error, extra)
            self.usage = dict(usage) if usage else self.usage
            self.choices = deep_copy(list(choices)) if choices else self.choices
        if self._context is not None:
            self._context.record_call(self.call_id)
        self._publish()

    def _apply_outcome(
        self, cost_usd: float | None, error: BaseException | Mapping[str, Any] | None, extra: Json
    ) -> None:
        if cost_usd is not None:
            self.extra["cost_usd"] = cost_usd
        if error is not None:
            self.extra["error"] = describe_error(error)
        tags = extra.pop("tags", None)
        self.extra.update(extra)
        if tags:
            self.tags.update(tags)

    def _stop_clock(self) -> None:
        if self.latency_ms is None:
            self.latency_ms = (time.perf_counter() - self._started) * 1e3

    def _publish(self) -> None:
        publisher = default_publisher() if self._publisher is None else self._publisher
        if publisher is not None:
            publisher.publish(self.event())

    def event(self) -> Json:
        """Return the event in its current state."""
        return {
            "kind": "call",
            "event_id": self.event_id,
            "call_id": self.call_id,
            "time": self.time,
            "provider": self.provider,
            "request_model": self.request_model,
            "response_model": self.response_model,
            "system_fingerprint": self.system_fingerprint,
            "parameters": self.parameters,
            "messages": self.messages,
            "documents": self.documents,
            "choices": self.choices,
            "usage": self.usage,
            "latency_ms": self.latency_ms,
            "ttft_ms": self.ttft_ms,
            "groups": self.groups,
            "tags": self.tags,
            **self.extra,
        }


def describe_error(error: BaseException | Mapping[str, Any]) -> Json:
    """Return ``LLMEvent.error`` of an exception: type, message, and the HTTP status if it has one."""
    if isinstance(error, Mapping):
        return deep_copy(error)  # type: ignore[no-any-return] # a mapping in, a dict out
    description: Json = {"type": type(error).__name__, "message": "", "status": None}
    with suppress_errors("error"):  # `str` of a library's exception may raise
        description["status"] = _http_status(error)
        description["message"] = str(error)[:MAX_ERROR_CHARS]
    return description


def _http_status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    candidates = (
        getattr(error, "status_code", None),
        getattr(error, "code", None),
        getattr(response, "status_code", None),
    )
    return next((status for status in candidates if type(status) is int), None)

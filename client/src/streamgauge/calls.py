"""One LLM call under way, and the event it becomes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamgauge import call_context
from streamgauge.guard import quiet, quietly
from streamgauge.ids import new_id
from streamgauge.publisher import EventPublisher
from streamgauge.snapshots import snapshot

MAX_ERROR_CHARS = 2_000
Json = dict[str, Any]


class Call:
    """One LLM call under way: begun by `begin`, published once by `finish`. None of its methods raises.

    Its attributes hold plain values in the shape of the monitor's ``LLMEvent``; an integration may change them until
    `finish`.

    Attributes
    ----------
    event_id, call_id
        New for each call; feedback names the call by ``call_id``.
    request_model, response_model, provider
        As the library gives them.
    messages, documents, choices, usage, parameters, tags, groups
        Parts of the event. ``messages`` and ``documents`` are copies: the host may go on using its own.
    more
        Any other field of the event, known to the schema (``conversation_id``, ``cost_usd``) or not (``trace_id``).
    finished
        Whether the event is on its way.
    """

    __slots__ = (
        "_began",
        "_context",
        "_publisher",
        "call_id",
        "choices",
        "documents",
        "event_id",
        "finished",
        "groups",
        "latency_ms",
        "messages",
        "more",
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
        self._began = time.perf_counter()
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
        self.more: Json = {}
        self.finished = False

    @classmethod
    def begin(  # noqa: PLR0913 - keyword parameters, most of them optional
        cls,
        publisher: EventPublisher | None = None,
        *,
        provider: str,
        request_model: str = "",
        messages: Iterable[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        documents: Iterable[Mapping[str, Any]] = (),
        **more: Any,
    ) -> Call:
        """Start the clock; prompt, conversation, user and tags come from the innermost `streamgauge.context`.

        Parameters
        ----------
        publisher
            ``None``: the default one.
        provider, request_model
            Whom is asked, and for what.
        messages, parameters, documents
            As in ``LLMEvent``. Documents follow those of the context.
        more
            Any other field; it wins over the context. ``tags`` and ``groups`` are merged with it.
        """
        call = cls(publisher, provider=provider, request_model=request_model)
        with quiet("call"):
            call._take_context(call_context.current(), more)
            call.messages = snapshot(list(messages))
            call.parameters = snapshot(dict(parameters or {}))
            call.documents += snapshot(list(documents))
        return call

    def _take_context(self, now: call_context.Context, more: Json) -> None:
        self._context = now
        self.tags = {**now.tags, **(more.pop("tags", None) or {})}
        self.groups = {**now.groups, **(more.pop("groups", None) or {})}
        self.documents = snapshot(list(now.documents))
        self.more = {
            "prompt_name": now.prompt_name,
            "prompt_version": now.prompt_version,
            "conversation_id": now.conversation_id,
            "user_id": now.user_id,
        }
        if now.tenant:
            self.more["tenant"] = now.tenant
        if now.app:
            self.more["app"] = now.app
        self.more.update(more)

    @quietly("call")
    def first_token(self) -> None:
        """Note the time to the first token; later calls change nothing."""
        if self.ttft_ms is None:
            self.ttft_ms = (time.perf_counter() - self._began) * 1e3

    @quietly("call")
    def finish(  # noqa: PLR0913
        self,
        *,
        choices: Sequence[Mapping[str, Any]] = (),
        usage: Mapping[str, Any] | None = None,
        response_model: str | None = None,
        system_fingerprint: str | None = None,
        cost_usd: float | None = None,
        error: BaseException | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Stop the clock and publish the event; the first time only.

        Parameters
        ----------
        choices, usage, response_model, system_fingerprint
            Given or not empty: in place of the attribute of that name.
        cost_usd
            Only where the library says it; the monitor computes it otherwise.
        error
            The exception that ended the call, or ``{"type": ..., "message": ..., "status": ...}``.
        more
            Any other field.
        """
        if self.finished:
            return
        self.finished = True
        self._stop_clock()
        with quiet("call"):  # what does not fit costs itself, not the event
            self.response_model = response_model or self.response_model
            self.system_fingerprint = system_fingerprint or self.system_fingerprint
            self._take_outcome(cost_usd, error, more)
            self.usage = dict(usage) if usage else self.usage
            self.choices = snapshot(list(choices)) if choices else self.choices
        if self._context is not None:
            self._context.note(self.call_id)
        self._publish()

    def _take_outcome(
        self, cost_usd: float | None, error: BaseException | Mapping[str, Any] | None, more: Json
    ) -> None:
        if cost_usd is not None:
            self.more["cost_usd"] = cost_usd
        if error is not None:
            self.more["error"] = describe(error)
        tags = more.pop("tags", None)
        self.more.update(more)
        if tags:
            self.tags.update(tags)

    def _stop_clock(self) -> None:
        if self.latency_ms is None:
            self.latency_ms = (time.perf_counter() - self._began) * 1e3

    def _publish(self) -> None:
        publisher = self._publisher
        if publisher is None:
            from streamgauge.defaults import default_publisher  # noqa: PLC0415 - it imports what imports us

            publisher = default_publisher()
        if publisher is not None:
            publisher.offer(self.event())

    def event(self) -> Json:
        """Return the event as it stands."""
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
            **self.more,
        }


def describe(error: BaseException | Mapping[str, Any]) -> Json:
    """Turn an exception into ``LLMEvent.error``: type, message, and the HTTP status where it has one."""
    if isinstance(error, Mapping):
        return snapshot(error)  # type: ignore[no-any-return] # a mapping in, a dict out
    told: Json = {"type": type(error).__name__, "message": "", "status": None}
    with quiet("error"):  # an exception of the library's may fail to say what it is
        told["status"] = _status(error)
        told["message"] = str(error)[:MAX_ERROR_CHARS]
    return told


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    found = (getattr(error, "status_code", None), getattr(error, "code", None), getattr(response, "status_code", None))
    return next((status for status in found if type(status) is int), None)

"""LiteLLM, library and proxy: one event per call, with its cost and the verdicts of its guardrails.

``litellm.callbacks = [StreamgaugeLogger()]`` in a program; in the configuration of the proxy::

    litellm_settings:
      callbacks: streamgauge.integrations.litellm.logger
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from streamgauge import call_context
from streamgauge.calls import Call
from streamgauge.guard import never_raises
from streamgauge.integrations import litellm_payload
from streamgauge.integrations._accessors import Json, text
from streamgauge.integrations._stream_tap import publish
from streamgauge.publisher import EventPublisher

MAX_REMEMBERED = 10_000


class StreamgaugeLogger(CustomLogger):
    """Logger that publishes each call: chat, completions, responses, messages; sync, async, streamed.

    LiteLLM's library does not report a stream that a program abandons; the proxy does.

    Parameters
    ----------
    publisher
        ``None``: the default publisher; the proxy creates it from ``STREAMGAUGE_URL``, ``STREAMGAUGE_TENANT``, ...
    settings
        Settings of `CustomLogger`, such as ``turn_off_message_logging=True``.
    """

    def __init__(self, publisher: EventPublisher | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._publisher = publisher
        self._lock = threading.RLock()  # reentrant: a finaliser may log while this thread holds the lock
        self._contexts: OrderedDict[str, call_context.Context] = OrderedDict()
        self._published: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    @never_raises("litellm")
    def log_pre_api_call(self, model: str, messages: Any, kwargs: Json) -> None:  # noqa: ARG002 - LiteLLM passes them by name
        """Keep the caller's context: the end of the call is reported on a thread without it."""
        context, call_id = call_context.current(), text(kwargs.get("litellm_call_id"))
        if call_id and context != call_context.Context():
            with self._lock:
                _remember(self._contexts, call_id, context)

    @never_raises("litellm")
    def _publish(self, kwargs: Json, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        payload: Mapping[str, Any] = kwargs.get("standard_logging_object") or {}
        if payload.get("call_type") not in litellm_payload.CALLS:
            return
        call_id = text(payload.get("litellm_call_id"))
        with self._lock:
            context = self._contexts.pop(call_id, None)
            if not _remember(self._published, (call_id, *_outcome_key(payload))):
                return
        with call_context.use_context(context or call_context.current()):
            self._publish_payload(kwargs, payload)

    def _publish_payload(self, kwargs: Json, payload: Mapping[str, Any]) -> None:
        call = Call.start(self._publisher, **litellm_payload.request(kwargs, payload))
        call.call_id = text(payload.get("litellm_call_id")) or call.call_id
        call.time, call.latency_ms, call.ttft_ms = litellm_payload.times(payload)
        publish(call, litellm_payload.response(kwargs, payload))

    async def _publish_async(self, kwargs: Json, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._publish(kwargs, response_obj, start_time, end_time)

    log_success_event = log_failure_event = _publish
    async_log_success_event = async_log_failure_event = _publish_async


def _outcome_key(payload: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a deduplication key: equal for repeated reports of one outcome, different for each try of a retried call.

    LiteLLM may report a text completion also as the chat completion inside it, with a later start. It reports a call
    that the proxy rejects to the sync and to the async method. A cached response gets a new id suffix per report.
    """
    status = payload.get("status")
    response_id = text(payload.get("id")).partition("_cache_hit")[0]
    return status, response_id if status == "success" else payload.get("startTime")


def _remember(table: OrderedDict[Any, Any], key: Any, value: Any = None) -> bool:
    """Add to a table of bounded size; return whether the key is new."""
    new = key not in table
    table[key] = value
    if len(table) > MAX_REMEMBERED:
        table.popitem(last=False)
    return new


logger = StreamgaugeLogger()

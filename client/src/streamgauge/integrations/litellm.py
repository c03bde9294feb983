"""LiteLLM, as a library and as a proxy: every call it makes as an event, with its cost and its guardrails' verdicts.

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
from streamgauge.guard import quietly
from streamgauge.integrations import litellm_payload
from streamgauge.integrations._reading import Json, text
from streamgauge.integrations._taps import publish
from streamgauge.publisher import EventPublisher

REMEMBERED = 10_000


class StreamgaugeLogger(CustomLogger):
    """Publishes what LiteLLM logs of each call: chat, completions, responses, messages; sync, async, streamed.

    Of a stream that a program leaves before its end LiteLLM tells nothing; the proxy does.

    Parameters
    ----------
    publisher
        ``None``: the default one; in the proxy it is made from ``STREAMGAUGE_URL``, ``STREAMGAUGE_TENANT``, ...
    settings
        For `CustomLogger`, such as ``turn_off_message_logging=True``.
    """

    def __init__(self, publisher: EventPublisher | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._publisher = publisher
        self._lock = threading.RLock()  # reentrant: a finaliser may log while this thread holds it
        self._contexts: OrderedDict[str, call_context.Context] = OrderedDict()
        self._told: OrderedDict[tuple[Any, ...], None] = OrderedDict()

    @quietly("litellm")
    def log_pre_api_call(self, model: str, messages: Any, kwargs: Json) -> None:  # noqa: ARG002 - LiteLLM names them
        """Remember the caller's context: the call's end is told on a thread that has none."""
        now, call_id = call_context.current(), text(kwargs.get("litellm_call_id"))
        if call_id and now != call_context.Context():
            with self._lock:
                _remember(self._contexts, call_id, now)

    @quietly("litellm")
    def _publish(self, kwargs: Json, response_obj: Any, start_time: Any, end_time: Any) -> None:  # noqa: ARG002
        payload: Mapping[str, Any] = kwargs.get("standard_logging_object") or {}
        if payload.get("call_type") not in litellm_payload.CALLS:
            return
        call_id = text(payload.get("litellm_call_id"))
        with self._lock:
            now = self._contexts.pop(call_id, None)
            if not _remember(self._told, (call_id, *_ending(payload))):
                return
        with call_context.using(now or call_context.current()):
            self._offer(kwargs, payload)

    def _offer(self, kwargs: Json, payload: Mapping[str, Any]) -> None:
        call = Call.begin(self._publisher, **litellm_payload.request(kwargs, payload))
        call.call_id = text(payload.get("litellm_call_id")) or call.call_id
        call.time, call.latency_ms, call.ttft_ms = litellm_payload.times(payload)
        publish(call, litellm_payload.answer(kwargs, payload))

    async def _apublish(self, kwargs: Json, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._publish(kwargs, response_obj, start_time, end_time)

    log_success_event = log_failure_event = _publish
    async_log_success_event = async_log_failure_event = _apublish


def _ending(payload: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what is the same where LiteLLM tells of one ending twice, and another for each ending of a retried call.

    A text completion is told of as the chat completion within it too, a little later begun, when their threads race.
    What the proxy refuses itself goes to the sync and to the async method. An answer from the cache gets a new id each
    time it is told of, by a suffix.
    """
    status = payload.get("status")
    answer = text(payload.get("id")).partition("_cache_hit")[0]
    return status, answer if status == "success" else payload.get("startTime")


def _remember(table: OrderedDict[Any, Any], key: Any, value: Any = None) -> bool:
    """Add to a table of bounded size; return whether the key is new."""
    new = key not in table
    table[key] = value
    if len(table) > REMEMBERED:
        table.popitem(last=False)
    return new


logger = StreamgaugeLogger()

"""`EventPublisher`: publishes events from a background thread."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from streamgauge import lifecycle
from streamgauge.background_sender import BackgroundSender
from streamgauge.counter import AtomicCounter
from streamgauge.drop_counters import DropCounters
from streamgauge.encoding import encode
from streamgauge.event_queue import EventQueue
from streamgauge.guard import integration_errors, record_internal_error
from streamgauge.logs import log
from streamgauge.settings import ContentMode, read_settings
from streamgauge.stats import Stats

_JOIN_TIMEOUT_S = 5.0


class EventPublisher:
    """Publisher of events; `publish` never blocks and never raises.

    Parameters
    ----------
    url
        ``kafka://host:9092[,host2:9092]``, ``https://monitor:6068`` or ``memory://name``; default: ``STREAMGAUGE_URL``.
        Every parameter defaults to its environment variable: ``STREAMGAUGE_TENANT``, ...
    tenant, app, environment
        Tenant, application and environment of the events.
    topic_prefix
        Topics are ``<prefix>.events`` and ``<prefix>.feedback``.
    queue_size, queue_bytes
        Maximum events, and bytes, that are queued or in flight; further events are dropped and counted.
    linger_ms
        Time for which events are collected before they are sent.
    sample_rate
        Share of calls published; request and response of a call are sampled together.
    content
        Content mode: ``full``, ``redacted``, ``hash`` or ``none``.
    redact
        Function from text to redacted text, called in the background with each text.
    max_field_chars, max_event_bytes
        Longer texts are truncated, with a marker that holds the length and the hash of the whole text.
    flush_timeout_s
        Maximum time for which the exit of the process waits for the last events.
    delivery_timeout_s
        Time after which an undelivered event fails.
    kafka_options
        librdkafka's settings: ``{"security.protocol": "SASL_SSL", ...}``.
    api_key
        API key for HTTP.
    hash_key
        Secret key of the hashes; without it, short texts can be guessed from their hashes.

    Raises
    ------
    ConfigurationError
        If a setting is missing or invalid. No later call raises.
    """

    def __init__(  # noqa: PLR0913 - keyword parameters, all optional
        self,
        url: str | None = None,
        *,
        tenant: str | None = None,
        app: str | None = None,
        environment: str | None = None,
        topic_prefix: str | None = None,
        queue_size: int | None = None,
        queue_bytes: int | None = None,
        linger_ms: float | None = None,
        sample_rate: float | None = None,
        content: ContentMode | None = None,
        redact: Callable[[str], str] | None = None,
        max_field_chars: int | None = None,
        max_event_bytes: int | None = None,
        flush_timeout_s: float | None = None,
        delivery_timeout_s: float | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        api_key: str | None = None,
        hash_key: str | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name != "self"}
        self.settings = read_settings(arguments)
        self.reset()
        lifecycle.register(self)

    def reset(self) -> None:
        """Start with an empty queue; in a forked child the queue is a copy of its parent's."""
        self._queue = EventQueue()
        self._drops = DropCounters()
        self._sender = BackgroundSender(self.settings, self._queue, self._drops)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._published = AtomicCounter()
        self._sampled_out = AtomicCounter()
        self._repaired = AtomicCounter()

    def publish(self, event: Mapping[str, Any]) -> bool:
        """Queue a copy of one event.

        Returns
        -------
        bool
            ``False`` if the event was dropped: the queue is full, the publisher is closed, or it is not an event. See
            `stats`.
        """
        try:
            return self._enqueue(event)
        except Exception as error:  # noqa: BLE001 - this runs inside the host's call
            record_internal_error("publish", error)
            return self._drop("invalid")

    def _enqueue(self, event: Mapping[str, Any]) -> bool:
        self._published.add()
        settings, queue, sender = self.settings, self._queue, self._sender
        if settings.sample_rate < 1.0 and not is_sampled(event, settings.sample_rate):
            self._sampled_out.add()
            return True
        if self._closed:
            return self._drop("closed")
        if queue.length() + sender.in_flight >= settings.queue_size:
            return self._drop("queue_full")
        raw, repaired = encode(event)
        if queue.bytes + sender.in_flight_bytes + len(raw) > settings.queue_bytes:
            return self._drop("queue_bytes")
        if repaired:
            self._repaired.add()
        queue.put(raw)
        if self._thread is None:
            self._start()
        return True

    def _drop(self, reason: str) -> bool:
        self._drops.add(reason)
        return False

    def _start(self) -> None:
        if self._starting.acquire(blocking=False):  # a second thread need not wait for the first
            thread = threading.Thread(target=self._sender.run, name="streamgauge", daemon=True)
            try:
                lifecycle.arm_exit_flush()
                thread.start()
            except RuntimeError as error:  # the system has no more threads; the next event tries again
                record_internal_error("thread", error)
                self._starting.release()
            else:
                self._thread = thread

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until every event published before is delivered or has failed; return ``False`` on timeout."""
        done = self._request_flush()
        if done is None:
            return self.stats.queued == 0
        return done.wait(self.settings.flush_timeout_s if timeout_s is None else timeout_s)

    def _request_flush(self) -> threading.Event | None:
        if self._sender.ended or (self._thread is None and not len(self._queue)):
            return None  # no thread would complete the flush, or there is nothing to flush
        return self._sender.request_flush()

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, then stop the thread and close the connections; events published afterwards are dropped.

        Returns
        -------
        bool
            As `flush`.
        """
        self._closed = True
        flushed = self.flush(timeout_s)
        if (thread := self._stop()) is not None:
            thread.join(_JOIN_TIMEOUT_S)
        return flushed

    def _stop(self) -> threading.Thread | None:
        self._sender.stop()
        return self._thread

    def __enter__(self) -> EventPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        EventPublisher.close(self)

    def final_flush(self, timeout_s: float) -> None:
        """Flush within the time, and log the number of undelivered events. Called when the process exits."""
        if not EventPublisher.flush(self, max(0.0, timeout_s)):
            log.warning("%d events were not delivered before the process exited", self.stats.queued)

    def halt(self) -> None:
        """Stop all work. Called when the process exits."""
        self._closed = True
        self._sender.halt()

    @property
    def stats(self) -> Stats:
        """Counts of the events so far."""
        sender = self._sender
        policy = sender.serializer.content_policy
        dropped = self._drops.counts()
        for reason, count in sender.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return Stats(
            published=self._published.value(),
            delivered=sender.delivered,
            dropped=dropped,
            failed=dict(sender.failed),
            sampled_out=self._sampled_out.value(),
            queued=self._queue.events() + sender.in_flight,
            queued_bytes=self._queue.bytes + sender.in_flight_bytes,
            repaired=self._repaired.value() + sender.serializer.repaired,
            truncated=policy.truncated,
            redaction_errors=policy.redaction_errors,
            integration_errors=integration_errors.value(),
        )


def is_sampled(event: Mapping[str, Any], rate: float) -> bool:
    """Return whether a call is published. The ``call_id`` decides, so request and response of a call agree."""
    name = event.get("call_id") or event.get("event_id") or id(event)
    digest = hashlib.blake2b(str(name).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) < rate * 2**64

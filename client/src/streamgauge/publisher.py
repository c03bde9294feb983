"""`EventPublisher`: what a service publishes through."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from streamgauge import lifecycle
from streamgauge.counting import Counter
from streamgauge.courier import Courier
from streamgauge.drops import Drops
from streamgauge.encoding import encode
from streamgauge.guard import integration_errors, note
from streamgauge.inbox import Inbox
from streamgauge.logs import log
from streamgauge.settings import ContentMode, read_settings
from streamgauge.stats import Stats

_JOIN_S = 5.0


class EventPublisher:
    """Publishes events in the background: `publish` never blocks and never raises.

    Parameters
    ----------
    url
        ``kafka://host:9092[,host2:9092]``, ``https://monitor:6068`` or ``memory://name``; ``STREAMGAUGE_URL`` where not
        given. So for the others: ``STREAMGAUGE_TENANT``, ...
    tenant, app, environment
        Whose events these are.
    topic_prefix
        Topics are ``<prefix>.events`` and ``<prefix>.feedback``.
    queue_size, queue_bytes
        Most events, and bytes, that wait or are on their way; beyond, events are dropped and counted.
    linger_ms
        How long events are gathered before they are sent.
    sample_rate
        Share of calls published; both halves of a call are, or neither.
    content
        ``full``, ``redacted``, ``hash`` or ``none``: what leaves the process of the texts.
    redact
        Called with each text, in the background; gives the text to send.
    max_field_chars, max_event_bytes
        Longer texts are cut, with a marker that says how much and the hash of the whole.
    flush_timeout_s
        Longest that the exit of the process waits for the last events.
    delivery_timeout_s
        When an event that could not be delivered is given up.
    kafka_options
        librdkafka's settings: ``{"security.protocol": "SASL_SSL", ...}``.
    api_key
        For HTTP.
    hash_key
        A secret that keys the hashes: short texts cannot be guessed from them then.

    Raises
    ------
    ConfigurationError
        If a setting is missing or wrong: here, and never later.
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
        given = {name: value for name, value in locals().items() if name != "self"}
        self.settings = read_settings(given)
        self.renew()
        lifecycle.register(self)

    def renew(self) -> None:
        """Begin with nothing: what a forked child does too, whose queue is a copy of its parent's."""
        self._inbox = Inbox()
        self._drops = Drops()
        self._courier = Courier(self.settings, self._inbox, self._drops)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._published = Counter()
        self._sampled_out = Counter()
        self._repaired = Counter()

    def publish(self, event: Mapping[str, Any]) -> bool:
        """Queue one event; it is copied, so the host may go on using its parts.

        Returns
        -------
        bool
            ``False`` if it was dropped: the queue is full, the publisher closed, or it is no event. See `stats`.
        """
        try:
            return self._put(event)
        except Exception as error:  # noqa: BLE001 - the host's call
            note("publish", error)
            return self._drop("invalid")

    offer = publish

    def _put(self, event: Mapping[str, Any]) -> bool:
        self._published.add()
        settings, inbox, courier = self.settings, self._inbox, self._courier
        if settings.sample_rate < 1.0 and not sampled(event, settings.sample_rate):
            self._sampled_out.add()
            return True
        if self._closed:
            return self._drop("closed")
        if inbox.length() + courier.held >= settings.queue_size:
            return self._drop("queue_full")
        raw, repaired = encode(event)
        if inbox.bytes + courier.held_bytes + len(raw) > settings.queue_bytes:
            return self._drop("queue_bytes")
        if repaired:
            self._repaired.add()
        inbox.put(raw)
        if self._thread is None:
            self._start()
        return True

    def _drop(self, reason: str) -> bool:
        self._drops.add(reason)
        return False

    def _start(self) -> None:
        if self._starting.acquire(blocking=False):  # whoever is second need not wait for the first
            thread = threading.Thread(target=self._courier.run, name="streamgauge", daemon=True)
            try:
                lifecycle.arm()
                thread.start()
            except RuntimeError as error:  # the system gives no more threads; the next event tries again
                note("thread", error)
                self._starting.release()
            else:
                self._thread = thread

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was published before is delivered or given up; ``False`` if the time was not enough."""
        done = self._ask_flush()
        if done is None:
            return self.stats.queued == 0
        return done.wait(self.settings.flush_timeout_s if timeout_s is None else timeout_s)

    def _ask_flush(self) -> threading.Event | None:
        if self._courier.ended or (self._thread is None and not len(self._inbox)):
            return None  # nobody would answer, or nothing to wait for
        return self._courier.ask_flush()

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, then let go of thread and connections; what is published later is dropped.

        Returns
        -------
        bool
            As `flush`.
        """
        self._closed = True
        flushed = self.flush(timeout_s)
        if (thread := self._stop()) is not None:
            thread.join(_JOIN_S)
        return flushed

    def _stop(self) -> threading.Thread | None:
        self._courier.stop()
        return self._thread

    def __enter__(self) -> EventPublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        EventPublisher.close(self)

    def last_flush(self, timeout_s: float) -> None:
        """Flush within the time, and say what was lost. For the end of the process."""
        if not EventPublisher.flush(self, max(0.0, timeout_s)):
            log.warning("%d events were not delivered before the process ended", self.stats.queued)

    def halt(self) -> None:
        """Do nothing any more. For the end of the process."""
        self._closed = True
        self._courier.halt()

    @property
    def stats(self) -> Stats:
        """What became of the events so far."""
        courier = self._courier
        dropped = self._drops.counts()
        for reason, count in courier.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return Stats(
            published=self._published.value(),
            delivered=courier.delivered,
            dropped=dropped,
            failed=dict(courier.failed),
            sampled_out=self._sampled_out.value(),
            queued=self._inbox.events() + courier.held,
            queued_bytes=self._inbox.bytes + courier.held_bytes,
            repaired=self._repaired.value() + courier.preparer.repaired,
            truncated=courier.preparer.outgoing.truncated,
            redaction_errors=courier.preparer.outgoing.redaction_errors,
            integration_errors=integration_errors.value(),
        )


def sampled(event: Mapping[str, Any], rate: float) -> bool:
    """Return whether a call is among those published: decided by its ``call_id``, so its halves agree."""
    name = event.get("call_id") or event.get("event_id") or id(event)
    digest = hashlib.blake2b(str(name).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) < rate * 2**64

"""Background thread of a publisher: serializes queued events, sends them and counts the outcomes."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from streamgauge.drop_counters import DropCounters
from streamgauge.event_queue import EventQueue, FlushMarker
from streamgauge.flush_tracker import FlushTracker
from streamgauge.guard import record_internal_error, suppress_errors
from streamgauge.logs import log_throttled
from streamgauge.serialization import EventSerializer, RejectedEvent
from streamgauge.settings import Settings
from streamgauge.transports import make_transport
from streamgauge.transports.base import Batch, Record, Transport

_MAX_SLICE_S = 0.001
"""Maximum run of Python code without a pause: the host's threads wait for the GIL meanwhile."""
_GIL_YIELD_S = 0.001
_MAX_IN_FLIGHT = 500
"""Maximum records given to the transport: librdkafka serves the callbacks of all its records in one go."""
_MAX_IN_FLIGHT_BYTES = 16 << 20
_CONNECT_RETRY_S = 5.0
_DROP_LOG_INTERVAL_S = 0.5
_IDLE_AFTER_S = 1.0
"""Polling time after the last event, before the thread sleeps: to wake it costs the host's thread up to 50 us."""


class BackgroundSender:
    """Thread of one publisher, and the counts that only this thread writes.

    Attributes
    ----------
    in_flight, in_flight_bytes
        Events taken from the queue and not yet settled.
    delivered, failed, dropped
        Outcomes of the settled events; failures and drops by reason.
    ended
        Whether the thread has ended; events put into the queue afterwards are never taken.
    """

    def __init__(self, settings: Settings, queue: EventQueue, drops: DropCounters) -> None:
        self._settings = settings
        self._queue = queue
        self._drops = drops
        self._linger_s = settings.linger_ms / 1e3
        self._flushes = FlushTracker()
        self._transport: Transport | None = None
        self._next_connect = 0.0
        self._next_drop_log = 0.0
        self._busy_until = 0.0
        self._stopping = False
        self._halted = False
        self.ended = False
        self.serializer = EventSerializer(settings)
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.delivered = 0
        self.failed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def request_flush(self) -> threading.Event:
        """Return an event that is set once every event queued before is settled. Any thread."""
        done = threading.Event()
        self._queue.put_flush_marker(done)
        return done

    def stop(self) -> None:
        """End the thread; unsettled events fail. Any thread."""
        self._stopping = True
        self._queue.wake()

    def halt(self) -> None:
        """Stop all work and release nothing, because the interpreter is about to exit. Any thread.

        Releasing a librdkafka handle while its broker is away takes seconds.
        """
        self._halted = True

    def run(self) -> None:
        """Send events until `stop`."""
        self._queue.wait(self._linger_s)
        while not self._stopping:
            try:
                self._run_cycle()
            except Exception as error:  # noqa: BLE001 - the thread must survive any error of one cycle
                record_internal_error("background_sender", error)
                time.sleep(_GIL_YIELD_S + self._linger_s)
        self.ended = True
        with suppress_errors("background_sender"):
            self._fail_remaining()

    def _fail_remaining(self) -> None:
        """Settle all remaining events as failed, complete the flushes and close the connection."""
        while (item := self._queue.pop()) is not None:
            if isinstance(item, FlushMarker):
                self._flushes.request(item.done)
            else:
                self.failed["closed"] += 1
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._flushes.notify()

    def _run_cycle(self) -> None:
        if self._halted:
            threading.Event().wait()
        transport = self._connected()
        more = transport is not None and self._send_slice(transport)
        if transport is not None:
            transport.poll()
            self._flushes.notify()
        self._expire_queued()
        self._log_drops()
        self._wait(more)

    def _connected(self) -> Transport | None:
        if self._transport is None and time.monotonic() >= self._next_connect:
            self._next_connect = time.monotonic() + _CONNECT_RETRY_S
            try:
                self._transport = make_transport(self._settings, self._settle)
            except Exception as error:  # noqa: BLE001 - for example an invalid librdkafka option; the queue stays bounded
                log_throttled("transport", logging.ERROR, "cannot send to %s: %s", self._settings.safe_url, error)
        return self._transport

    def _send_slice(self, transport: Transport) -> bool:
        """Send queued events for about a millisecond; return whether more can be sent now."""
        deadline = time.perf_counter() + _MAX_SLICE_S
        while self.in_flight < _MAX_IN_FLIGHT and self.in_flight_bytes < _MAX_IN_FLIGHT_BYTES:
            item = self._queue.peek()
            if item is None:
                return False
            if isinstance(item, FlushMarker):
                self._queue.pop()
                self._flushes.request(item.done)
            else:
                self._send(transport, item)
            if time.perf_counter() >= deadline:
                return True
        return False

    def _send(self, transport: Transport, raw: bytes) -> None:
        self.in_flight += 1  # before the event leaves the queue, so that the queue's bounds hold at every moment
        self.in_flight_bytes += len(raw)
        self._queue.pop()
        try:
            topic, key, value = self.serializer.serialize(raw)
        except Exception as error:  # noqa: BLE001 - an invalid event must not cost other events
            self._drop(error, len(raw))
            return
        self.in_flight_bytes += len(value) - len(raw)
        transport.send(Record(topic, key, value, self._flushes.register()))

    def _drop(self, error: Exception, size: int) -> None:
        self.in_flight -= 1
        self.in_flight_bytes -= size
        if isinstance(error, RejectedEvent):
            self.dropped[error.reason] += 1
            log_throttled(f"dropped.{error.reason}", logging.WARNING, "dropped an event: %s", error)
        else:
            self.dropped["invalid"] += 1
            record_internal_error("serialize", error)

    def _settle(self, batch: Batch, size: int, failure: str | None) -> None:
        batch.outstanding -= 1
        self.in_flight -= 1
        self.in_flight_bytes -= size
        if failure is None:
            self.delivered += 1
        else:
            self.failed[failure] += 1
            log_throttled(f"failed.{failure}", logging.WARNING, "events were not delivered: %s", failure)

    def _expire_queued(self) -> None:
        """Fail queued events older than the delivery timeout: the transport is full or not connected."""
        oldest_allowed = time.monotonic() - self._settings.delivery_timeout_s
        while self._queue.oldest_time() < oldest_allowed:
            item = self._queue.pop()
            if isinstance(item, FlushMarker):
                self._flushes.request(item.done)
            elif item is not None:
                self.failed["timed_out"] += 1

    def _log_drops(self) -> None:
        now = time.monotonic()
        if now >= self._next_drop_log:
            self._next_drop_log = now + _DROP_LOG_INTERVAL_S
            self._drops.log()

    def _wait(self, more: bool) -> None:
        now = time.monotonic()
        if self.in_flight or len(self._queue):
            self._busy_until = now + _IDLE_AFTER_S
        if more or self._flushes.has_waiters:
            time.sleep(_GIL_YIELD_S)
        elif now < self._busy_until:
            self._queue.wait(self._linger_s)
        else:
            self._queue.wait_for_event()
            self._queue.wait(self._linger_s)  # further events may follow: one request for several events

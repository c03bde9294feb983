"""The background thread: takes events, prepares them, hands them to the transport, counts what became of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally
from collections import deque
from typing import Any

from streamgauge.guard import note
from streamgauge.inbox import Inbox, Item
from streamgauge.logs import seldom
from streamgauge.preparing import Preparer
from streamgauge.settings import Settings
from streamgauge.transports import make_transport
from streamgauge.transports.base import Batch, Record, Transport

_SLICE_S = 0.001
"""Longest run of our Python code at a time: the host's threads wait for the GIL meanwhile."""
_BREATH_S = 0.001
_RETRY_S = 5.0
_IDLE_S = 60.0


class Courier:
    """One publisher's thread and what it alone writes.

    Attributes
    ----------
    held, held_bytes
        Events taken and not settled.
    delivered, failed, dropped
        What became of the others.
    """

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        self._settings = settings
        self._inbox = inbox
        self._linger_s = settings.linger_ms / 1e3
        self._batches: deque[Batch] = deque([Batch()])
        self._flushes: deque[threading.Event] = deque()
        self._waiting: list[tuple[list[Batch], threading.Event]] = []
        self._transport: Transport | None = None
        self._next_try = 0.0
        self._closing: float | None = None
        self.preparer = Preparer(settings)
        self.held = 0
        self.held_bytes = 0
        self.delivered = 0
        self.failed: Tally[str] = Tally()
        self.dropped: Tally[str] = Tally()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was put before is settled; ``False`` if the time was not enough. Any thread."""
        done = threading.Event()
        self._flushes.append(done)
        self._inbox.wake()
        return done.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Ask the thread to end within the time. Any thread."""
        self._closing = timeout_s
        self._inbox.wake()

    def run(self) -> None:
        """Work until `close`."""
        while self._closing is None:
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever happens to one round
                note("courier", error)
                time.sleep(self._linger_s)
        if self._transport is not None:
            self._transport.close(self._closing)

    def _round(self) -> None:
        transport = self._connected()
        if transport is None:
            time.sleep(self._linger_s)
            return
        emptied = self._slice(transport)
        transport.poll()
        if emptied:
            self._answer_flushes()
            self._rest()
        else:
            time.sleep(_BREATH_S)

    def _connected(self) -> Transport | None:
        if self._transport is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + _RETRY_S
            try:
                self._transport = make_transport(self._settings, self._settle)
            except Exception as error:  # noqa: BLE001 - a wrong librdkafka option, say; the queue bounds what waits
                seldom("transport", logging.ERROR, "cannot send to %s: %s", self._settings.url, error)
        return self._transport

    def _slice(self, transport: Transport) -> bool:
        """Send what waits, for about a millisecond; return whether nothing is left."""
        until = time.perf_counter() + _SLICE_S
        while (item := self._inbox.take()) is not None:
            self._forward(transport, item)
            if time.perf_counter() >= until:
                return False
        return True

    def _forward(self, transport: Transport, item: Item) -> None:
        self.held += 1
        try:
            topic, key, value = self.preparer.prepare(item[1])
        except Exception as error:  # noqa: BLE001 - one bad event is one event
            note("prepare", error)
            self.dropped["invalid"] += 1
            self.held -= 1
            return
        batch = self._batches[-1]
        batch.outstanding += 1
        self.held_bytes += len(value)
        transport.send(Record(topic, key, value, batch))

    def _settle(self, batch: Batch, size: int, failure: str | None) -> None:
        batch.outstanding -= 1
        self.held -= 1
        self.held_bytes -= size
        if failure is None:
            self.delivered += 1
        else:
            self.failed[failure] += 1

    def _answer_flushes(self) -> None:
        while self._flushes:
            self._waiting.append(([b for b in self._batches if b.outstanding], self._flushes.popleft()))
            self._batches.append(Batch())
        self._batches = deque(b for b in self._batches if b.outstanding or b is self._batches[-1])
        for wait in [w for w in self._waiting if not any(b.outstanding for b in w[0])]:
            wait[1].set()
            self._waiting.remove(wait)

    def _rest(self) -> None:
        if self.held or self._flushes:
            time.sleep(min(self._linger_s, 0.005) if self._waiting else self._linger_s)
        else:
            self._inbox.sleep(_IDLE_S)
            time.sleep(self._linger_s if not self._flushes else 0)

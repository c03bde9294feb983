"""The background thread: takes events, prepares them, hands them to the transport, counts what became of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally

from streamgauge.drops import Drops
from streamgauge.flushing import Flushes
from streamgauge.guard import note, quiet
from streamgauge.inbox import Inbox, Mark
from streamgauge.logs import seldom
from streamgauge.preparing import Preparer, Unpublishable
from streamgauge.settings import Settings
from streamgauge.transports import make_transport
from streamgauge.transports.base import Batch, Record, Transport

_SLICE_S = 0.001
"""Longest run of our Python code at a time: the host's threads wait for the GIL meanwhile."""
_BREATH_S = 0.001
_WINDOW = 500
"""Most records given to the transport: librdkafka serves the callbacks of all that it has in one go."""
_WINDOW_BYTES = 16 << 20
_RETRY_S = 5.0
_TELL_EVERY_S = 0.5
_AWAKE_S = 1.0
"""How long we look for events by the clock before we sleep: waking us costs the host's thread up to 50 us."""


class Courier:
    """One publisher's thread, and what it alone writes.

    Attributes
    ----------
    held, held_bytes
        Events taken and not settled.
    delivered, failed, dropped
        What became of the others.
    ended
        Whether nobody takes what is put any more.
    """

    def __init__(self, settings: Settings, inbox: Inbox, drops: Drops) -> None:
        self._settings = settings
        self._inbox = inbox
        self._drops = drops
        self._linger_s = settings.linger_ms / 1e3
        self._flushes = Flushes()
        self._transport: Transport | None = None
        self._next_try = 0.0
        self._next_telling = 0.0
        self._busy_until = 0.0
        self._stopping = False
        self._halted = False
        self.ended = False
        self.preparer = Preparer(settings)
        self.held = 0
        self.held_bytes = 0
        self.delivered = 0
        self.failed: Tally[str] = Tally()
        self.dropped: Tally[str] = Tally()

    def ask_flush(self) -> threading.Event:
        """Return an event that is set when all that was put before is settled. Any thread."""
        done = threading.Event()
        self._inbox.mark(done)
        return done

    def stop(self) -> None:
        """End the thread; what it holds fails. Any thread."""
        self._stopping = True
        self._inbox.wake()

    def halt(self) -> None:
        """Do nothing any more, and keep hold of everything: the interpreter is about to end. Any thread.

        Letting go of a librdkafka handle while its broker is away takes seconds.
        """
        self._halted = True

    def run(self) -> None:
        """Work until `stop`."""
        self._inbox.pause(self._linger_s)
        while not self._stopping:
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever happens in one round
                note("courier", error)
                time.sleep(_BREATH_S + self._linger_s)
        self.ended = True
        with quiet("courier"):
            self._give_up()

    def _give_up(self) -> None:
        """Settle all that is left as failed, tell those who wait, let go of the connection."""
        while (what := self._inbox.take()) is not None:
            if isinstance(what, Mark):
                self._flushes.ask(what.done)
            else:
                self.failed["closed"] += 1
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._flushes.answer()

    def _round(self) -> None:
        if self._halted:
            threading.Event().wait()
        transport = self._connected()
        more = transport is not None and self._slice(transport)
        if transport is not None:
            transport.poll()
            self._flushes.answer()
        self._expire()
        self._tell_drops()
        self._rest(more)

    def _connected(self) -> Transport | None:
        if self._transport is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + _RETRY_S
            try:
                self._transport = make_transport(self._settings, self._settle)
            except Exception as error:  # noqa: BLE001 - a wrong librdkafka option, say; the queue bounds what waits
                seldom("transport", logging.ERROR, "cannot send to %s: %s", self._settings.shown_url, error)
        return self._transport

    def _slice(self, transport: Transport) -> bool:
        """Send what waits, for about a millisecond; return whether there is more to send now."""
        until = time.perf_counter() + _SLICE_S
        while self.held < _WINDOW and self.held_bytes < _WINDOW_BYTES:
            what = self._inbox.peek()
            if what is None:
                return False
            if isinstance(what, Mark):
                self._inbox.take()
                self._flushes.ask(what.done)
            else:
                self._forward(transport, what)
            if time.perf_counter() >= until:
                return True
        return False

    def _forward(self, transport: Transport, raw: bytes) -> None:
        self.held += 1  # before it leaves the inbox: the bounds of the queue hold at every moment
        self.held_bytes += len(raw)
        self._inbox.take()
        try:
            topic, key, value = self.preparer.prepare(raw)
        except Exception as error:  # noqa: BLE001 - one bad event is one event
            self._discard(error, len(raw))
            return
        self.held_bytes += len(value) - len(raw)
        transport.send(Record(topic, key, value, self._flushes.enter()))

    def _discard(self, error: Exception, size: int) -> None:
        self.held -= 1
        self.held_bytes -= size
        if isinstance(error, Unpublishable):
            self.dropped[error.reason] += 1
            seldom(f"dropped.{error.reason}", logging.WARNING, "an event was dropped: %s", error)
        else:
            self.dropped["invalid"] += 1
            note("prepare", error)

    def _settle(self, batch: Batch, size: int, failure: str | None) -> None:
        batch.outstanding -= 1
        self.held -= 1
        self.held_bytes -= size
        if failure is None:
            self.delivered += 1
        else:
            self.failed[failure] += 1
            seldom(f"failed.{failure}", logging.WARNING, "events are not delivered: %s", failure)

    def _expire(self) -> None:
        """Give up what has waited too long: the transport is full, or there is none."""
        born = time.monotonic() - self._settings.delivery_timeout_s
        while self._inbox.oldest() < born:
            what = self._inbox.take()
            if isinstance(what, Mark):
                self._flushes.ask(what.done)
            elif what is not None:
                self.failed["timed_out"] += 1

    def _tell_drops(self) -> None:
        now = time.monotonic()
        if now >= self._next_telling:
            self._next_telling = now + _TELL_EVERY_S
            self._drops.tell()

    def _rest(self, more: bool) -> None:
        now = time.monotonic()
        if self.held or len(self._inbox):
            self._busy_until = now + _AWAKE_S
        if more or self._flushes.waiting:
            time.sleep(_BREATH_S)
        elif now < self._busy_until:
            self._inbox.pause(self._linger_s)
        else:
            self._inbox.sleep()
            self._inbox.pause(self._linger_s)  # more may come: one request for several events

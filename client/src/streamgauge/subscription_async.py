"""`subscribe_alerts_async`: alerts from Kafka, for ``async for`` loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any

from streamgauge.alert_filter import AlertFilter
from streamgauge.alerts import Alert
from streamgauge.subscription import Start
from streamgauge.vocabulary import Severity, State

if TYPE_CHECKING:
    from streamgauge.alert_source import AlertSource

_POLL_S = 0.2
"""Time of one poll; `close` waits for its end."""


class AsyncAlertSubscription:
    """Asynchronous iterator over alerts; it connects at the first. Close it with `close`, or use ``async with``.

    Attributes
    ----------
    skipped
        Number of records that were not alerts.
    """

    def __init__(self, source_arguments: tuple[Any, ...], filter_: AlertFilter, idle_s: float | None) -> None:
        self._source_arguments = source_arguments
        self._filter = filter_
        self._idle_s = idle_s
        self._source: AlertSource | None = None
        self._polling: asyncio.Future[Alert | None] | None = None
        # A consumer may be used by one thread at a time. It is a private thread: polling would occupy the loop's pool.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streamgauge-alerts")

    @property
    def skipped(self) -> int:
        """Number of records that were not alerts."""
        return self._source.skipped if self._source else 0

    async def connect(self) -> None:
        """Connect now instead of at the first iteration; every alert published after the return is received."""
        if self._source is None:
            from streamgauge.alert_source import open_source  # noqa: PLC0415 - it imports confluent_kafka

            self._source = await asyncio.get_running_loop().run_in_executor(
                self._thread, open_source, *self._source_arguments
            )

    def __aiter__(self) -> AsyncIterator[Alert]:
        return self

    async def __anext__(self) -> Alert:
        """Wait for the next matching alert; stop after ``idle_s`` without an alert."""
        await self.connect()
        last_alert = time.monotonic()
        while self._source is not None and not self._source.closed:
            alert = await self._poll(self._source)
            if alert is not None:
                last_alert = time.monotonic()
                if self._filter(alert):
                    return alert
            elif self._idle_s is not None and time.monotonic() - last_alert >= self._idle_s:
                break
        raise StopAsyncIteration

    async def _poll(self, source: AlertSource) -> Alert | None:
        # Shielded and kept: a poll that a cancelled wait (a timeout of the host) left running still returns its alert.
        if self._polling is None:
            self._polling = asyncio.get_running_loop().run_in_executor(self._thread, source.poll, _POLL_S)
        alert = await asyncio.shield(self._polling)
        self._polling = None
        return alert

    async def close(self) -> None:
        """Close the connection."""
        if self._source is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._source.close)
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> AsyncAlertSubscription:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def subscribe_alerts_async(  # noqa: PLR0913 - keyword parameters, all optional
    url: str | None = None,
    *,
    tenant: str | Collection[str] | None = None,
    app: str | Collection[str] | None = None,
    severity: Severity | Collection[Severity] | None = None,
    state: State | Collection[State] | None = None,
    rule: str | Collection[str] | None = None,
    group_id: str | None = None,
    start: Start = "latest",
    idle_s: float | None = None,
    topic_prefix: str | None = None,
    kafka_options: Mapping[str, Any] | None = None,
) -> AsyncAlertSubscription:
    """Return an asynchronous iterator over alerts; parameters and errors are those of `subscribe_alerts`."""
    source_arguments = (url, topic_prefix, kafka_options, group_id, start)
    return AsyncAlertSubscription(source_arguments, AlertFilter(tenant, app, severity, state, rule), idle_s)

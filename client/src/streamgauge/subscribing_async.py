"""`subscribe_alerts_async`: alerts as they come, for ``async for``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any

from streamgauge.alert_filter import AlertFilter
from streamgauge.alerts import Alert
from streamgauge.subscribing import Start
from streamgauge.vocabulary import Severity, State

if TYPE_CHECKING:
    from streamgauge.alert_source import AlertSource

_POLL_S = 0.2
"""How long the thread looks at a time: closing waits for it."""


class AsyncAlertSubscription:
    """Alerts, for ``async for``; connects at the first. Leave it by `close`, or use it in ``async with``.

    Attributes
    ----------
    skipped
        Records that were no alert.
    """

    def __init__(self, opening: tuple[Any, ...], wanted: AlertFilter, idle_s: float | None) -> None:
        self._opening = opening
        self._wanted = wanted
        self._idle_s = idle_s
        self._source: AlertSource | None = None
        self._polling: asyncio.Future[Alert | None] | None = None
        # A consumer is for one thread at a time; one of our own, as waiting would fill up the loop's.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streamgauge-alerts")

    @property
    def skipped(self) -> int:
        """How many records were no alert."""
        return self._source.skipped if self._source else 0

    async def connect(self) -> None:
        """Connect now instead of at the first alert: what is published from here on is not missed."""
        if self._source is None:
            from streamgauge.alert_source import open_source  # noqa: PLC0415 - it imports confluent_kafka

            self._source = await asyncio.get_running_loop().run_in_executor(self._thread, open_source, *self._opening)

    def __aiter__(self) -> AsyncIterator[Alert]:
        return self

    async def __anext__(self) -> Alert:
        """Wait for the next wanted alert; end after ``idle_s`` without one."""
        await self.connect()
        heard = time.monotonic()
        while self._source is not None and not self._source.closed:
            alert = await self._poll(self._source)
            if alert is not None:
                heard = time.monotonic()
                if self._wanted(alert):
                    return alert
            elif self._idle_s is not None and time.monotonic() - heard >= self._idle_s:
                break
        raise StopAsyncIteration

    async def _poll(self, source: AlertSource) -> Alert | None:
        # Shielded and kept: what a cancelled wait (a timeout of the host's) left running still brings its alert.
        if self._polling is None:
            self._polling = asyncio.get_running_loop().run_in_executor(self._thread, source.poll, _POLL_S)
        alert = await asyncio.shield(self._polling)
        self._polling = None
        return alert

    async def close(self) -> None:
        """Let go of the connection."""
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
    """Iterate over alerts with ``async for``; parameters and errors are those of `subscribe_alerts`."""
    opening = (url, topic_prefix, kafka_options, group_id, start)
    return AsyncAlertSubscription(opening, AlertFilter(tenant, app, severity, state, rule), idle_s)

"""`subscribe_alerts`: alerts from Kafka, for ``for`` loops."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from streamgauge.alert_filter import AlertFilter
from streamgauge.alerts import Alert
from streamgauge.vocabulary import Severity, State

if TYPE_CHECKING:
    from streamgauge.alert_source import AlertSource

Start = Literal["latest", "earliest"]
_POLL_S = 0.5


class AlertSubscription:
    """Iterator over alerts. Close it with `close`, or use it in a ``with`` block.

    Attributes
    ----------
    skipped
        Number of records that were not alerts.
    """

    def __init__(self, source: AlertSource, filter_: AlertFilter, idle_s: float | None) -> None:
        self._source = source
        self._filter = filter_
        self._idle_s = idle_s
        self._stopping = False

    @property
    def skipped(self) -> int:
        """Number of records that were not alerts."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Alert]:
        return self

    def __next__(self) -> Alert:
        """Wait for the next matching alert; stop after ``idle_s`` without an alert."""
        last_alert = time.monotonic()
        while not (self._stopping or self._source.closed):
            alert = self._source.poll(_POLL_S if self._idle_s is None else min(_POLL_S, self._idle_s))
            if alert is not None:
                last_alert = time.monotonic()
                if self._filter(alert):
                    return alert
            elif self._idle_s is not None and time.monotonic() - last_alert >= self._idle_s:
                break
        raise StopIteration

    def stop(self) -> None:
        """End the iteration within half a second. Any thread; `close` is for the iterating thread only."""
        self._stopping = True

    def close(self) -> None:
        """Close the connection."""
        self._source.close()

    def __enter__(self) -> AlertSubscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def subscribe_alerts(  # noqa: PLR0913 - keyword parameters, all optional
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
) -> AlertSubscription:
    """Return an iterator over alerts.

    Parameters
    ----------
    url
        ``kafka://host:9092``; default: that of `configure` or ``STREAMGAUGE_URL``. ``topic_prefix`` and
        ``kafka_options`` have the same defaults.
    tenant, app, severity, state, rule
        One value or several; default: any value.
    group_id
        Consumer group. Its members share the alerts and continue at the committed offset: delivery is at least once.
        Without a group, every subscriber gets every alert.
    start
        ``latest``: alerts from now on. ``earliest``: first the alerts that the compacted topic keeps, including
        the latest state of every alert. With a group, it applies only if the group has no committed offset.
    idle_s
        Stop after this time without an alert; default: never.

    Raises
    ------
    ConfigurationError
        If no Kafka URL is set, or a severity or state does not exist.
    SubscriptionError
        If the broker does not answer, or the topic does not exist.
    """
    from streamgauge.alert_source import open_source  # noqa: PLC0415 - it imports confluent_kafka

    filter_ = AlertFilter(tenant, app, severity, state, rule)
    return AlertSubscription(open_source(url, topic_prefix, kafka_options, group_id, start), filter_, idle_s)

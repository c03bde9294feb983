"""`subscribe_alerts`: alerts as they come, from Kafka."""

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
    """Alerts, for ``for``; leave it by ``break`` and `close`, or use it in ``with``.

    Attributes
    ----------
    skipped
        Records that were no alert.
    """

    def __init__(self, source: AlertSource, wanted: AlertFilter, idle_s: float | None) -> None:
        self._source = source
        self._wanted = wanted
        self._idle_s = idle_s
        self._stopping = False

    @property
    def skipped(self) -> int:
        """How many records were no alert."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Alert]:
        return self

    def __next__(self) -> Alert:
        """Wait for the next wanted alert; end after ``idle_s`` without a record."""
        heard = time.monotonic()
        while not (self._stopping or self._source.closed):
            alert = self._source.poll(_POLL_S if self._idle_s is None else min(_POLL_S, self._idle_s))
            if alert is not None:
                heard = time.monotonic()
                if self._wanted(alert):
                    return alert
            elif self._idle_s is not None and time.monotonic() - heard >= self._idle_s:
                break
        raise StopIteration

    def stop(self) -> None:
        """End the loop within half a second. Any thread; `close` is for the one that iterates."""
        self._stopping = True

    def close(self) -> None:
        """Let go of the connection."""
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
    """Iterate over alerts.

    Parameters
    ----------
    url
        ``kafka://host:9092``; that of `configure` or of ``STREAMGAUGE_URL`` where not given. So for ``topic_prefix``
        and ``kafka_options``.
    tenant, app, severity, state, rule
        One value or several; any where not given.
    group_id
        Subscribers of a group share the alerts, and go on where the group was: each alert comes at least once. Without
        one, every subscriber gets all of them.
    start
        ``latest``: what comes from now on. ``earliest``: first what the topic keeps, which is compacted: at least the
        latest state of every alert. With a group, only where the group has not been before.
    idle_s
        End when no alert came for so long; never where not given.

    Raises
    ------
    ConfigurationError
        If there is no Kafka to read from, or a severity or state is none.
    SubscriptionError
        If it does not answer, or has no such topic.
    """
    from streamgauge.alert_source import open_source  # noqa: PLC0415 - it imports confluent_kafka

    wanted = AlertFilter(tenant, app, severity, state, rule)
    return AlertSubscription(open_source(url, topic_prefix, kafka_options, group_id, start), wanted, idle_s)

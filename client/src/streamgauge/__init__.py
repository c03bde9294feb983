"""streamgauge: publish LLM calls to the monitor in three lines, never on the request path.

Examples
--------
>>> import streamgauge
>>> publisher = streamgauge.configure("memory://docs", tenant="clinic", app="triage")
>>> with streamgauge.context("triage", version="v7", conversation_id="c-1"):
...     pass  # calls made here carry the prompt's name and version
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` would be half of what importing us costs
if TYPE_CHECKING:
    from typing import Any

    from streamgauge.alerts import Alert
    from streamgauge.asynchronous import AsyncEventPublisher
    from streamgauge.call_context import context
    from streamgauge.defaults import configure
    from streamgauge.errors import ConfigurationError, StreamgaugeError, SubscriptionError
    from streamgauge.feedback import send_feedback
    from streamgauge.instrumentation import instrument, watch
    from streamgauge.integrations.decorator import call, observe
    from streamgauge.publisher import EventPublisher
    from streamgauge.stats import Stats
    from streamgauge.subscribing import AlertSubscription, subscribe_alerts
    from streamgauge.subscribing_async import AsyncAlertSubscription, subscribe_alerts_async
    from streamgauge.vocabulary import Severity, State

_HOME = {
    "Alert": "alerts",
    "AlertSubscription": "subscribing",
    "AsyncAlertSubscription": "subscribing_async",
    "AsyncEventPublisher": "asynchronous",
    "ConfigurationError": "errors",
    "EventPublisher": "publisher",
    "Severity": "vocabulary",
    "State": "vocabulary",
    "Stats": "stats",
    "StreamgaugeError": "errors",
    "SubscriptionError": "errors",
    "call": "integrations.decorator",
    "configure": "defaults",
    "context": "call_context",
    "instrument": "instrumentation",
    "observe": "integrations.decorator",
    "send_feedback": "feedback",
    "subscribe_alerts": "subscribing",
    "subscribe_alerts_async": "subscribing_async",
    "watch": "instrumentation",
}

__all__ = [
    "Alert",
    "AlertSubscription",
    "AsyncAlertSubscription",
    "AsyncEventPublisher",
    "ConfigurationError",
    "EventPublisher",
    "Severity",
    "State",
    "Stats",
    "StreamgaugeError",
    "SubscriptionError",
    "call",
    "configure",
    "context",
    "instrument",
    "observe",
    "send_feedback",
    "subscribe_alerts",
    "subscribe_alerts_async",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: ``import streamgauge`` costs next to nothing."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'streamgauge' has no attribute {name!r}")
    value = getattr(import_module(f"streamgauge.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

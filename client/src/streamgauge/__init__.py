"""Streamgauge client: publish LLM calls to the monitor in three lines, off the request path.

Examples
--------
>>> import streamgauge
>>> publisher = streamgauge.configure("memory://docs", tenant="clinic", app="triage")
>>> with streamgauge.context("triage", version="v7", conversation_id="c-1"):
...     pass  # calls made here carry the prompt's name and version
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # importing `typing` takes as long as the rest of this package
if TYPE_CHECKING:
    from typing import Any

    from streamgauge.alerts import Alert
    from streamgauge.async_publisher import AsyncEventPublisher
    from streamgauge.call_context import context
    from streamgauge.defaults import configure
    from streamgauge.errors import ConfigurationError, StreamgaugeError, SubscriptionError
    from streamgauge.feedback import send_feedback
    from streamgauge.instrumentation import instrument, watch
    from streamgauge.integrations.decorator import call, observe
    from streamgauge.publisher import EventPublisher
    from streamgauge.stats import Stats
    from streamgauge.subscription import AlertSubscription, subscribe_alerts
    from streamgauge.subscription_async import AsyncAlertSubscription, subscribe_alerts_async
    from streamgauge.vocabulary import Severity, State

_MODULE_BY_NAME = {
    "Alert": "alerts",
    "AlertSubscription": "subscription",
    "AsyncAlertSubscription": "subscription_async",
    "AsyncEventPublisher": "async_publisher",
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
    "subscribe_alerts": "subscription",
    "subscribe_alerts_async": "subscription_async",
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
    """Import a public name on first access, so that ``import streamgauge`` stays cheap."""
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module 'streamgauge' has no attribute {name!r}")
    value = getattr(import_module(f"streamgauge.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""streamgauge: publish LLM calls to the monitor in three lines, never on the request path.

Examples
--------
>>> import streamgauge
>>> publisher = streamgauge.configure("memory://docs", tenant="clinic", app="triage")
>>> with streamgauge.prompt("triage", version="v7", conversation_id="c-1"):
...     pass  # calls made here carry the prompt's name and version
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamgauge.context import prompt
    from streamgauge.defaults import configure
    from streamgauge.errors import ConfigurationError, StreamgaugeError, SubscriptionError
    from streamgauge.integrations.decorator import call, observe
    from streamgauge.publisher import EventPublisher
    from streamgauge.watching import watch

_HOME = {
    "ConfigurationError": "errors",
    "EventPublisher": "publisher",
    "StreamgaugeError": "errors",
    "SubscriptionError": "errors",
    "call": "integrations.decorator",
    "configure": "defaults",
    "observe": "integrations.decorator",
    "prompt": "context",
    "watch": "watching",
}

__all__ = [
    "ConfigurationError",
    "EventPublisher",
    "StreamgaugeError",
    "SubscriptionError",
    "call",
    "configure",
    "observe",
    "prompt",
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

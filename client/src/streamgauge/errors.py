"""Every error that the client raises on purpose: only where you set it up or ask it for something, never around a call.

::

    StreamgaugeError
    ├── ConfigurationError   a setting is missing or wrong; names it and the remedy
    └── SubscriptionError    alerts cannot be read from where they should come
"""

from __future__ import annotations


class StreamgaugeError(Exception):
    """The root: catch it to catch what streamgauge raises on purpose and nothing else."""


class ConfigurationError(StreamgaugeError):
    """A setting is missing or wrong."""


class SubscriptionError(StreamgaugeError):
    """Alerts cannot be read."""

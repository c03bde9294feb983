"""Errors that the client raises: at configuration and subscription, never around an LLM call.

::

    StreamgaugeError
    ├── ConfigurationError   a setting is missing or invalid; the message names it and the remedy
    └── SubscriptionError    alerts cannot be read
"""

from __future__ import annotations


class StreamgaugeError(Exception):
    """Base class of every error that the client raises on purpose."""


class ConfigurationError(StreamgaugeError):
    """A setting or an argument is missing or invalid.

    Attributes
    ----------
    setting
        Name of the setting or argument; empty if several are involved.
    """

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class SubscriptionError(StreamgaugeError):
    """Alerts cannot be read."""

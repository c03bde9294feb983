"""Filter for alert subscriptions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from streamgauge.alerts import Alert
from streamgauge.errors import ConfigurationError
from streamgauge.vocabulary import Severity, State

Allowed = str | Collection[str] | None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Allowed values per field: one value, several values, or ``None`` for any value.

    Raises
    ------
    ConfigurationError
        If a severity or state does not exist. Such a filter would never match.
    """

    tenant: Allowed = None
    app: Allowed = None
    severity: Allowed = None
    state: Allowed = None
    rule: Allowed = None

    def __post_init__(self) -> None:
        """Reject severities and states that do not exist."""
        for name, known in (("severity", get_args(Severity)), ("state", get_args(State))):
            allowed: Allowed = getattr(self, name)
            for value in [allowed] if isinstance(allowed, str) else allowed or ():
                if value not in known:
                    raise ConfigurationError(
                        f"{name}={value!r}: use {', '.join(known[:-1])} or {known[-1]}", setting=name
                    )

    def __call__(self, alert: Alert) -> bool:
        """Return whether the alert matches every field."""
        return (
            _matches(self.tenant, alert.tenant)
            and _matches(self.app, alert.app)
            and _matches(self.severity, alert.severity)
            and _matches(self.state, alert.state)
            and _matches(self.rule, alert.rule)
        )


def _matches(allowed: Allowed, value: str) -> bool:
    if allowed is None:
        return True
    return value == allowed if isinstance(allowed, str) else value in allowed

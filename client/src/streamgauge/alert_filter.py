"""Which alerts somebody wants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from streamgauge.alerts import Alert
from streamgauge.errors import ConfigurationError
from streamgauge.vocabulary import Severity, State

Wanted = str | Collection[str] | None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Each part: one value, several, or ``None`` for any.

    Raises
    ------
    ConfigurationError
        For a severity or a state that no alert has: nothing would ever come.
    """

    tenant: Wanted = None
    app: Wanted = None
    severity: Wanted = None
    state: Wanted = None
    rule: Wanted = None

    def __post_init__(self) -> None:
        """Refuse what fits no alert."""
        for name, words in (("severity", get_args(Severity)), ("state", get_args(State))):
            given: Wanted = getattr(self, name)
            for word in [given] if isinstance(given, str) else given or ():
                if word not in words:
                    raise ConfigurationError(f"{name}={word!r}: give {', '.join(words[:-1])} or {words[-1]}")

    def __call__(self, alert: Alert) -> bool:
        """Return whether an alert is wanted."""
        return (
            _fits(self.tenant, alert.tenant)
            and _fits(self.app, alert.app)
            and _fits(self.severity, alert.severity)
            and _fits(self.state, alert.state)
            and _fits(self.rule, alert.rule)
        )


def _fits(wanted: Wanted, value: str) -> bool:
    if wanted is None:
        return True
    return value == wanted if isinstance(wanted, str) else value in wanted

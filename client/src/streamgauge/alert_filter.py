"""Which alerts somebody wants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from streamgauge.alerts import Alert

Wanted = str | Collection[str] | None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Each part: one value, several, or ``None`` for any."""

    tenant: Wanted = None
    app: Wanted = None
    severity: Wanted = None
    state: Wanted = None
    rule: Wanted = None

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

"""Whose call it was: tenant, app and environment, from the resource that the service is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.request_limits import MAX_NAME_CHARS

_OWN: Final = frozenset({"tenant", "app", "environment"})
_TENANT: Final = ("streamgauge.tenant", "tenant.id", "service.namespace")
_APP: Final = ("streamgauge.app", "service.name")
_ENVIRONMENT: Final = ("streamgauge.environment", "deployment.environment.name", "deployment.environment")


@dataclass(frozen=True, slots=True)
class Source:
    """The keys that every event has.

    Attributes
    ----------
    key
        The record's, as `streams.runtime.partitioning.event_key` has it for the call of a span.
    """

    tenant: str
    app: str
    environment: str
    key: bytes


class Sources:
    """Finds the source of each record, once per resource.

    Parameters
    ----------
    tenant
        The one that the sender proved to be, whatever its telemetry says; None to believe the telemetry.
    """

    def __init__(self, tenant: str | None) -> None:
        self._tenant = tenant
        self._of_resource: Source | None = None
        self._resource: Mapping[str, Any] | None = None

    def of(self, resource: Mapping[str, Any], found: Fields) -> Source:
        """Return the source of a record; its own ``streamgauge.*`` attributes go before the resource's."""
        if self._of_resource is None or resource is not self._resource:
            self._resource, self._of_resource = resource, self._make(resource, {})
        if _OWN.isdisjoint(found.plain):
            return self._of_resource
        return self._make(resource, found.plain)

    def _make(self, resource: Mapping[str, Any], own: Mapping[str, Any]) -> Source:
        tenant = self._tenant or _first(own.get("tenant"), resource, _TENANT) or "default"
        app = _first(own.get("app"), resource, _APP) or "unknown"
        environment = _first(own.get("environment"), resource, _ENVIRONMENT) or "production"
        return Source(tenant, app, environment, f"{tenant}/{app}".encode("utf-8", "replace"))


def _first(own: Any, resource: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for value in (own, *(resource.get(name) for name in names)):
        if isinstance(value, str) and value:
            return value[:MAX_NAME_CHARS]
    return ""

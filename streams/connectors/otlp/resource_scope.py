"""Tenant, app and environment of a call, from the resource attributes of the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.request_limits import MAX_NAME_CHARS

_OVERRIDES: Final = frozenset({"tenant", "app", "environment"})
_TENANT: Final = ("streamgauge.tenant", "tenant.id", "service.namespace")
_APP: Final = ("streamgauge.app", "service.name")
_ENVIRONMENT: Final = ("streamgauge.environment", "deployment.environment.name", "deployment.environment")


@dataclass(frozen=True, slots=True)
class Source:
    """Source of an event: tenant, app, environment and record key.

    Attributes
    ----------
    key
        Key of the Kafka record, equal to `streams.runtime.partitioning.event_key` for the call of a span.
    """

    tenant: str
    app: str
    environment: str
    key: bytes


class Sources:
    """Lookup of the source of each record, cached per resource.

    Parameters
    ----------
    tenant
        Authenticated tenant of the sender, overrides the telemetry; None to use the tenant in the telemetry.
    """

    def __init__(self, tenant: str | None) -> None:
        self._tenant = tenant
        self._source: Source | None = None
        self._resource: Mapping[str, Any] | None = None

    def of(self, resource: Mapping[str, Any], fields: Fields) -> Source:
        """Return the source of a record; ``streamgauge.*`` attributes of the record override those of the resource."""
        if self._source is None or resource is not self._resource:
            self._resource, self._source = resource, self._make(resource, {})
        if _OVERRIDES.isdisjoint(fields.plain):
            return self._source
        return self._make(resource, fields.plain)

    def _make(self, resource: Mapping[str, Any], overrides: Mapping[str, Any]) -> Source:
        tenant = self._tenant or _first(overrides.get("tenant"), resource, _TENANT) or "default"
        app = _first(overrides.get("app"), resource, _APP) or "unknown"
        environment = _first(overrides.get("environment"), resource, _ENVIRONMENT) or "production"
        return Source(tenant, app, environment, f"{tenant}/{app}".encode("utf-8", "replace"))


def _first(overrides: Any, resource: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for value in (overrides, *(resource.get(name) for name in names)):
        if isinstance(value, str) and value:
            return value[:MAX_NAME_CHARS]
    return ""

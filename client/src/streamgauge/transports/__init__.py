"""How events travel: each transport sends records and says what became of them."""

from __future__ import annotations

from streamgauge.settings import Settings
from streamgauge.transports.base import Settle, Transport


def make_transport(settings: Settings, settle: Settle) -> Transport:
    """Return the transport for a URL. What it needs is imported here: in our thread, not with ``import streamgauge``."""
    if settings.scheme == "kafka":
        from streamgauge.transports.kafka import KafkaTransport  # noqa: PLC0415

        return KafkaTransport(settings, settle)
    if settings.scheme == "memory":
        from streamgauge.transports.memory import MemoryTransport  # noqa: PLC0415

        return MemoryTransport(settings, settle)
    from streamgauge.transports.http import HttpTransport  # noqa: PLC0415

    return HttpTransport(settings, settle)

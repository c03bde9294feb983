"""How events travel: each transport sends records and says what became of them."""

from __future__ import annotations

from importlib import import_module

from streamgauge import lifecycle
from streamgauge.settings import Settings
from streamgauge.transports.base import Settle, Transport

_MODULES = {"kafka": "kafka", "http": "http", "https": "http", "memory": "memory"}


def make_transport(settings: Settings, settle: Settle) -> Transport:
    """Return the transport for a URL. What it needs is imported here: in our thread, not by ``import streamgauge``."""
    with lifecycle.importing:
        module = import_module(f"streamgauge.transports.{_MODULES[settings.scheme]}")
    transport: Transport = module.make(settings, settle)
    return transport

"""Transports: each sends records and reports their outcome."""

from __future__ import annotations

from importlib import import_module

from streamgauge import fork_hooks
from streamgauge.settings import Settings
from streamgauge.transports.base import Settle, Transport

_MODULES = {"kafka": "kafka", "http": "http", "https": "http", "memory": "memory"}


def make_transport(settings: Settings, settle: Settle) -> Transport:
    """Return the transport for a URL.

    The transport is imported here, in the background thread, and not by ``import streamgauge``.
    """
    with fork_hooks.import_lock:
        module = import_module(f"streamgauge.transports.{_MODULES[settings.scheme]}")
    transport: Transport = module.make(settings, settle)
    return transport

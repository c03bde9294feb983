"""The start-up check that an unauthenticated ingest service listens on loopback only."""

from __future__ import annotations

from schemas.errors import SettingsError
from schemas.setting_sections import IngestSettings
from schemas.urls import is_loopback


def require_auth_or_loopback(settings: IngestSettings) -> None:
    """Raise `SettingsError` if other machines could send without a key and ``allow_anonymous`` is not set."""
    if settings.keys_file is not None or settings.allow_anonymous or is_loopback(settings.host):
        return
    remedy = (
        "set ingest.keys_file (`streamgauge ingest-key create`), or ingest.allow_anonymous=true to allow all senders"
    )
    raise SettingsError(
        f"ingest.host={settings.host}: every machine that can connect could send without a key; {remedy}",
        "ingest.keys_file",
        "missing",
    )

"""Where the gateway may listen."""

from __future__ import annotations

from schemas.errors import SettingsError
from schemas.setting_sections import IngestSettings
from schemas.urls import is_loopback


def check_open(settings: IngestSettings) -> None:
    """Raise `SettingsError` if anyone could send from another machine, and nobody said that this is meant."""
    if settings.keys_file is not None or settings.allow_anonymous or is_loopback(settings.host):
        return
    remedy = "set ingest.keys_file (`streamgauge ingest-key create`), or ingest.allow_anonymous=true if that is meant"
    raise SettingsError(
        f"ingest.host={settings.host}: without keys anyone who reaches it could send; {remedy}",
        "ingest.keys_file",
        "missing",
    )

"""Where the gateway may listen, and how."""

from __future__ import annotations

import ipaddress
import ssl

from schemas.errors import SettingsError
from schemas.settings import Ingest


def check_open(settings: Ingest) -> None:
    """Raise `SettingsError` if anyone could send from another machine, and nobody said that this is meant."""
    if settings.keys_file is not None or settings.allow_anonymous or _is_loopback(settings.host):
        return
    remedy = "set ingest.keys_file (`streamgauge ingest-key create`), or ingest.allow_anonymous=true if that is meant"
    raise SettingsError(f"ingest.host={settings.host}: without keys anyone who reaches it could send; {remedy}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls(settings: Ingest) -> ssl.SSLContext | None:
    """Return what HTTPS needs, or None for HTTP; raise `SettingsError` if the files cannot be used."""
    if settings.tls_cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        files = f"ingest.tls_cert_file={settings.tls_cert_file}, ingest.tls_key_file={settings.tls_key_file}"
        raise SettingsError(f"{files}: {error}; give PEM files") from error
    return context

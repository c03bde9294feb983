"""TLS contexts for Kafka clients and for the HTTPS server."""

from __future__ import annotations

import ssl

from schemas.errors import SettingsError
from schemas.files import check_file
from schemas.setting_sections import IngestSettings, KafkaSettings


def kafka_tls(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """Return the TLS context for brokers; None for an unencrypted connection.

    Raises
    ------
    SettingsError
        If ``kafka.ca_file`` is missing or invalid.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    if kafka.ca_file is None:
        return ssl.create_default_context()
    name = f"kafka.ca_file={kafka.ca_file}"
    check_file(kafka.ca_file, name)
    try:
        return ssl.create_default_context(cafile=kafka.ca_file)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{name}: no certificates in it; set it to a PEM file", "kafka.ca_file", "malformed", path=kafka.ca_file
        ) from error


def server_tls(ingest: IngestSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the HTTPS server; None for HTTP.

    Raises
    ------
    SettingsError
        If ``ingest.tls_cert_file`` or ``ingest.tls_key_file`` is missing or invalid.
    """
    cert, key = ingest.tls_cert_file, ingest.tls_key_file
    if cert is None:
        if key is not None:
            raise SettingsError(
                f"ingest.tls_key_file={key}: set ingest.tls_cert_file too, or unset it",
                "ingest.tls_cert_file",
                "missing",
            )
        return None
    name = f"ingest.tls_cert_file={cert}"
    check_file(cert, name)
    if key is not None:
        check_file(key, f"ingest.tls_key_file={key}")
        name = f"{name}, ingest.tls_key_file={key}"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password="")  # without it, OpenSSL prompts for the key's password
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", None) or type(error).__name__
        raise SettingsError(
            f"{name}: {cause}; set it to PEM files of a certificate and its key, without password",
            "ingest.tls_cert_file",
            "malformed",
            path=cert,
        ) from error
    return context

"""Faust's broker credentials, from the Kafka settings."""

from __future__ import annotations

from typing import Any

import faust

from schemas.setting_sections import KafkaSettings
from streams.runtime.tls import kafka_tls


def credentials(kafka: KafkaSettings) -> Any:
    """Return Faust's credentials; None for an unauthenticated, unencrypted broker."""
    if kafka.security_protocol == "PLAINTEXT":
        return None
    context = kafka_tls(kafka)
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    password = kafka.password.get_secret_value() if kafka.password else None
    return faust.SASLCredentials(
        username=kafka.username, password=password, mechanism=kafka.sasl_mechanism, ssl_context=context
    )

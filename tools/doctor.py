"""Command ``streamgauge doctor``: check the installation and report each problem with its remedy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import SettingsError, StreamgaugeError
from schemas.rules import DEFAULT_RULES, load_rules
from schemas.settings import Settings, load_settings
from streams.connectors.clickhouse import connect
from streams.ingest.api_keys import read_key_file
from streams.ingest.auth_check import require_auth_or_loopback
from streams.runtime.tls import server_tls
from streams.runtime.topics import (
    BROKER_TIMESTAMPS,
    TOPICS,
    client_options,
    has_producer_timestamps,
    otlp_topics,
    partition_counts,
)
from streams.shadow.config import load_shadow_config


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    check: str
    ok: bool
    detail: str


async def examine() -> list[Finding]:
    """Run all checks; a failed check does not stop the others."""
    try:
        settings = load_settings()
        rules = load_rules(settings.alerts.rules_file or DEFAULT_RULES)
    except SettingsError as error:
        return [Finding("settings", ok=False, detail=str(error).removeprefix("settings: "))]
    findings = [Finding("settings", ok=True, detail=f"{len(rules.rules)} alert rules")]
    findings += [_ingest(settings), *_shadow(settings), _signing(settings)]
    findings += await _broker(settings)
    findings.append(await asyncio.to_thread(_store, settings))
    return findings


def _ingest(settings: Settings) -> Finding:
    """Check API keys and TLS of the ingest service."""
    path = settings.ingest.keys_file
    try:
        require_auth_or_loopback(settings.ingest)
        server_tls(settings.ingest)
        keys = read_key_file(path) if path else []
    except SettingsError as error:
        return Finding("ingest", ok=False, detail=str(error))
    return Finding(
        "ingest", ok=True, detail=f"{len(keys)} keys" if path else f"no keys required on {settings.ingest.host}"
    )


def _shadow(settings: Settings) -> list[Finding]:
    """Check the shadow version, if one is configured."""
    try:
        plan = load_shadow_config(settings)
    except SettingsError as error:
        return [Finding("shadow", ok=False, detail=str(error))]
    return [Finding("shadow", ok=True, detail=f"{plan.name}: {len(plan.rules.rules)} alert rules")] if plan else []


def _signing(settings: Settings) -> Finding:
    """Check whether snapshots and commands are signed."""
    if keys := list(settings.security.signing_keys):
        accepted = f"; also accepted: {', '.join(keys[1:])}" if keys[1:] else ""
        return Finding("signing", ok=True, detail=f"snapshots and commands are signed with {keys[0]}{accepted}")
    detail = (
        "snapshots and commands are not signed: every writer of "
        f"{settings.kafka.topic('events')} can roll back a model; set security.signing_keys (docs/security.md)"
    )
    return Finding("signing", ok=True, detail=detail)


async def _broker(settings: Settings) -> list[Finding]:
    kafka = settings.kafka
    try:
        options = client_options(kafka)
    except SettingsError as error:
        return [Finding("settings", ok=False, detail=str(error))]
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=5000)
    try:
        await admin.start()
        partitions = await partition_counts(admin)
        events = kafka.topic("events")
        forgeable = events in partitions and await has_producer_timestamps(admin, events)
    except (KafkaError, OSError) as error:
        detail = f"{kafka.brokers}: {error}; start the broker, or set kafka.brokers and kafka.security_protocol"
        return [Finding("broker", ok=False, detail=detail)]
    finally:
        await admin.close()
    otlp = [_otlp(settings, partitions)] if kafka.otlp else []
    stamps = [_stamps(events)] if forgeable else []
    return [Finding("broker", ok=True, detail=kafka.brokers), _topics(settings, partitions), *otlp, *stamps]


def _stamps(topic: str) -> Finding:
    """Report a topic whose record timestamps come from the producers."""
    config = "=".join(BROKER_TIMESTAMPS)
    remedy = f"kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {config}"
    return Finding("timestamps", ok=False, detail=f"producers set the record timestamps of {topic}; run: {remedy}")


def _otlp(settings: Settings, partitions: dict[str, int]) -> Finding:
    """Check the topics of an OpenTelemetry Collector; they may have any number of partitions."""
    names = otlp_topics(settings.kafka)
    if missing := [n for n in names if n not in partitions]:
        remedy = "start the Collector with its Kafka exporter, run: streamgauge topics create, or set kafka.otlp=false"
        return Finding("otlp topics", ok=False, detail=f"missing {', '.join(missing)}; {remedy}")
    return Finding("otlp topics", ok=True, detail=", ".join(f"{n}, {partitions[n]} partitions" for n in names))


def _topics(settings: Settings, partitions: dict[str, int]) -> Finding:
    names = [settings.kafka.topic(t.name) for t in TOPICS]
    if missing := [n for n in names if n not in partitions]:
        return Finding("topics", ok=False, detail=f"missing {', '.join(missing)}; run: streamgauge topics create")
    # Scored rows, labels and snapshots are written to the partition number of their event.
    counts = {partitions[settings.kafka.topic(n)] for n in ("events", "feedback", "scored", "snapshots")}
    if len(counts) > 1:
        return Finding(
            "topics",
            ok=False,
            detail="events, feedback, scored and snapshots have different partition counts; make the counts equal",
        )
    return Finding("topics", ok=True, detail=f"{len(names)} topics, {counts.pop()} partitions")


def _store(settings: Settings) -> Finding:
    where = settings.clickhouse.path or f"{settings.clickhouse.host}:{settings.clickhouse.port}"
    try:
        tables = connect(settings.clickhouse, settings.clickhouse.database).query("SHOW TABLES").result_rows
    except (StreamgaugeError, ClickHouseError, OSError) as error:
        return Finding("clickhouse", ok=False, detail=str(error).splitlines()[0])
    if not tables:
        return Finding("clickhouse", ok=False, detail=f"{where}: no tables; run: streamgauge db migrate")
    return Finding("clickhouse", ok=True, detail=f"{where}, {len(tables)} tables")

"""Command ``streamgauge alerts tail``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import chain
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError
from rich.console import Console
from rich.markup import escape

from schemas.errors import BrokerError, RecordError
from schemas.outputs import Alert, ShadowFinding
from schemas.setting_sections import KafkaSettings
from streams.runtime.decode import check_size
from streams.runtime.record_batches import raise_refused
from streams.runtime.terminal import json_text
from streams.runtime.topics import client_options

log = logging.getLogger(__name__)

_SUMMARY_CHARS = 400
_SILENCE_MS = 3_000
"""Without a record for this time, the backlog counts as read: compaction may remove the records before the end offset,
so that the position never reaches it."""

_COLOUR = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def line(alert: Alert) -> str:
    """Return an alert as one line of Rich markup."""
    colour = "green" if alert.state == "resolved" else _COLOUR[alert.severity]
    head = f"[{colour}]{alert.state:8} {alert.severity:8} {alert.rule}[/{colour}]"
    return f"{alert.changed_at:%Y-%m-%d %H:%M:%S} {head} {sanitised(alert.summary)}"


def sanitised(summary: str) -> str:
    """Return an untrusted summary on one line, without control characters, with markup escaped, and shortened."""
    line = " ".join("".join(c if c.isprintable() else " " for c in summary).split())
    return escape(line if len(line) <= _SUMMARY_CHARS else line[: _SUMMARY_CHARS - 1] + "…")


def finding_line(finding: ShadowFinding) -> str:
    """Return a finding of the shadow version as one line of Rich markup."""
    head = f"[dim]{escape(finding.shadow)}[/dim] {finding.verdict:8}"
    if finding.alert is not None:
        return f"{head} {line(finding.alert)}"
    scores = f"{finding.primary_score} -> {finding.shadow_score}"
    return f"{head} flag {escape(f'{finding.tenant}/{finding.app} {finding.signal} {scores} {finding.event_id}')}"


async def tail(
    kafka: KafkaSettings, console: Console, *, from_start: bool, as_json: bool, shadow: bool = False
) -> None:
    """Print alerts, or the findings of the shadow version, until cancelled."""
    consumer = AIOKafkaConsumer(
        kafka.topic("shadow" if shadow else "alerts"),
        **client_options(kafka),
        auto_offset_reset="earliest" if from_start else "latest",
    )
    try:
        try:
            await consumer.start()
        except KafkaConnectionError as error:
            raise BrokerError(
                f"kafka.brokers={kafka.brokers}: no answer; check that the broker is up", "kafka.brokers"
            ) from error
        with suppress(SystemExit):  # Rich raises it when the reader of the pipe is gone: `| head -5`
            async for record in _records(consumer, backlog=from_start):
                try:
                    raise_refused(record.value)
                    check_size(record.value or b"")
                    text = _line(orjson.loads(record.value or b""), shadow=shadow)
                except (ValueError, RecordError) as error:
                    position = f"{record.topic}-{record.partition}-{record.offset}"
                    kind = "finding" if shadow else "alert"
                    log.warning("%s: skipped, not a valid %s: %s", position, kind, sanitised(str(error)))
                    continue
                if as_json:
                    console.out(json_text(record.value.decode(errors="replace")), highlight=False)
                else:
                    console.print(text, highlight=False, soft_wrap=True)
    finally:
        await consumer.stop()


async def _records(consumer: AIOKafkaConsumer, *, backlog: bool) -> AsyncIterator[ConsumerRecord]:
    """Yield the backlog of all partitions ordered by timestamp, then new records."""
    if backlog:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=_SILENCE_MS)
            if not batches:
                break
            records += chain.from_iterable(batches.values())
        for record in sorted(records, key=lambda record: (record.timestamp, record.partition, record.offset)):
            yield record
    async for record in consumer:
        yield record


def _line(value: dict[str, Any], *, shadow: bool) -> str:
    return finding_line(ShadowFinding.model_validate(value)) if shadow else line(Alert.model_validate(value))

"""``streamgauge alerts tail``."""

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
"""After which what is on the topic is taken to be read: a position does not pass what was compacted away at the end."""

_COLOUR = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def line(alert: Alert) -> str:
    """Return an alert as one line for the terminal, in Rich's markup."""
    colour = "green" if alert.state == "resolved" else _COLOUR[alert.severity]
    what = f"[{colour}]{alert.state:8} {alert.severity:8} {alert.rule}[/{colour}]"
    return f"{alert.changed_at:%Y-%m-%d %H:%M:%S} {what} {shown(alert.summary)}"


def shown(summary: str) -> str:
    """Return a summary that may quote what anybody wrote: on one line, without control codes or markup, shortened."""
    line = " ".join("".join(c if c.isprintable() else " " for c in summary).split())
    return escape(line if len(line) <= _SUMMARY_CHARS else line[: _SUMMARY_CHARS - 1] + "…")


def finding_line(finding: ShadowFinding) -> str:
    """Return what a second version would have done as one line for the terminal."""
    mark = f"[dim]{escape(finding.shadow)}[/dim] {finding.verdict:8}"
    if finding.alert is not None:
        return f"{mark} {line(finding.alert)}"
    scores = f"{finding.primary_score} -> {finding.shadow_score}"
    return f"{mark} flag {escape(f'{finding.tenant}/{finding.app} {finding.signal} {scores} {finding.event_id}')}"


async def tail(
    kafka: KafkaSettings, console: Console, *, from_start: bool, as_json: bool, shadow: bool = False
) -> None:
    """Print alerts, or what the shadow found, until cancelled."""
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
                f"kafka.brokers={kafka.brokers}: no answer; is the broker up?", "kafka.brokers"
            ) from error
        with suppress(SystemExit):  # Rich's word for a pipe that nobody reads any more: `| head -5`
            async for record in _records(consumer, backlog=from_start):
                try:
                    raise_refused(record.value)
                    check_size(record.value or b"")
                    text = _line(orjson.loads(record.value or b""), shadow=shadow)
                except (ValueError, RecordError) as error:
                    where = f"{record.topic}-{record.partition}-{record.offset}"
                    log.warning("%s: no %s: %s", where, "finding" if shadow else "alert", shown(str(error)))
                    continue
                if as_json:
                    console.out(json_text(record.value.decode(errors="replace")), highlight=False)
                else:
                    console.print(text, highlight=False, soft_wrap=True)
    finally:
        await consumer.stop()


async def _records(consumer: AIOKafkaConsumer, *, backlog: bool) -> AsyncIterator[ConsumerRecord]:
    """Yield what is on the topic in the order in which it was written, whatever the partition; then what comes."""
    if backlog:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            taken = await consumer.getmany(timeout_ms=_SILENCE_MS)
            if not taken:
                break
            found += chain.from_iterable(taken.values())
        for record in sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset)):
            yield record
    async for record in consumer:
        yield record


def _line(value: dict[str, Any], *, shadow: bool) -> str:
    return finding_line(ShadowFinding.model_validate(value)) if shadow else line(Alert.model_validate(value))

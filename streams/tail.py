"""``streamgauge alerts tail``."""

from __future__ import annotations

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from rich.console import Console

from schemas.errors import BrokerError
from schemas.outputs import Alert
from schemas.settings import Kafka
from streams.kafka import client_options

_COLOUR = {"critical": "bold red", "warning": "yellow", "info": "cyan"}


def line(alert: Alert) -> str:
    """Return an alert as one line for the terminal."""
    colour = "green" if alert.state == "resolved" else _COLOUR[alert.severity]
    return f"{alert.changed_at:%H:%M:%S} [{colour}]{alert.state:8} {alert.rule}[/{colour}] {alert.summary}"


async def tail(kafka: Kafka, console: Console, *, from_start: bool, as_json: bool) -> None:
    """Print alerts until cancelled."""
    consumer = AIOKafkaConsumer(
        kafka.topic("alerts"), **client_options(kafka), auto_offset_reset="earliest" if from_start else "latest"
    )
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        raise BrokerError(f"kafka.brokers={kafka.brokers}: no answer; is the broker up?") from error
    try:
        async for record in consumer:
            if as_json:
                console.out(record.value.decode(), highlight=False)
            else:
                console.print(line(Alert.model_validate(orjson.loads(record.value))), highlight=False)
    finally:
        await consumer.stop()

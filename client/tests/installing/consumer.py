"""A typed service that uses all of the public API: it must type-check as it stands."""

from __future__ import annotations

from collections.abc import Mapping

import streamgauge
from streamgauge import Alert, AsyncEventPublisher, EventPublisher, Severity, State, Stats


def start(brokers: str) -> EventPublisher:
    return streamgauge.configure(
        f"kafka://{brokers}",
        tenant="clinic",
        app="triage",
        content="redacted",
        redact=str.strip,
        sample_rate=0.5,
        kafka_options={"security.protocol": "SSL"},
    )


def handle(publisher: EventPublisher, question: str) -> Stats:
    with streamgauge.context("triage", version="v7", conversation_id="c-1", tags={"tier": "gold"}) as context:
        name: str = context.prompt_name
        queued: bool = publisher.publish({"messages": [{"role": "user", "content": question}], "prompt_name": name})
    labelled: bool = streamgauge.send_feedback(call_id="c", signal="injection", label=queued, source="thumbs")
    print(labelled)
    return publisher.stats


def failed_by_reason(stats: Stats) -> Mapping[str, int]:
    return stats.failed


async def serve() -> bool:
    async with AsyncEventPublisher("https://monitor:6068", api_key="key") as publisher:
        publisher.publish({})
        return await publisher.flush(1.0)


def page(alert: Alert, worst: Severity = "critical", now: State = "firing") -> str | None:
    return alert.summary if alert.severity == worst and alert.state == now else None


def watch_alerts() -> list[str]:
    with streamgauge.subscribe_alerts(app=["triage"], severity="critical", state={"firing"}) as alerts:
        return [summary for alert in alerts if (summary := page(alert)) is not None]


async def watch_alerts_async() -> None:
    async for alert in streamgauge.subscribe_alerts_async(tenant="clinic", start="earliest"):
        page(alert)


class Client:
    """Any client."""


watched: Client = streamgauge.instrument(Client())

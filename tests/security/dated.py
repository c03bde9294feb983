"""Traffic of one app of which is known what must come of it, and events dated far ahead of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from streams.connectors.otlp import normalise_spans
from tests import collector

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
FAR = "2199-12-31T23:59:59Z"
MINUTES = 20
RULES = """rules:
- {name: slow, type: event, metric: latency_ms, threshold: 5000, window_s: 120, cooldown_s: 0}
- {name: errors, type: count, metric: error, threshold: 2, window_s: 120, min_events: 1, cooldown_s: 0}
"""

Item = tuple[dict[str, Any], float]
"""An event or a label, and the second after `BEGIN` at which the broker takes it."""


def at(second: float) -> str:
    return (BEGIN + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call(name: str, second: float, tenant: str, **more: Any) -> dict[str, Any]:
    who = {"event_id": name, "call_id": name, "time": at(second), "tenant": tenant, "app": "chat"}
    said = {"messages": [{"role": "user", "content": f"Is dose {name} safe?"}], "choices": [{"content": "Yes."}]}
    return who | said | more


def story(tenant: str, *, behind_s: float = 0.0) -> list[Item]:
    """Twenty minutes of one app, six calls a minute: what must come out of it is known (`assert_exact`)."""
    out: list[Item] = []
    for k in range(6 * MINUTES):
        second = 10.0 * k
        more: dict[str, Any] = {"latency_ms": 9_000 if k == 30 else 100}
        if k in {60, 61, 62}:
            more["error"] = {"type": "timeout"}
        event = call(f"{tenant}-{k}", second, tenant, **more)
        if k % 6 == 3:
            request = {n: v for n, v in event.items() if n not in {"choices", "latency_ms"}} | {"kind": "request"}
            response = {n: v for n, v in event.items() if n != "messages"} | {"time": at(second + 5)}
            out += [(request, second + 1), (response | {"kind": "response", "event_id": f"{tenant}-{k}r"}, second + 6)]
        else:
            out.append((event, second + 1))
        if k % 20 == 19:
            label = {"kind": "feedback", "feedback_id": f"f{k}", "signal": "injection", "label": False}
            out.append((label | {n: event[n] for n in ("call_id", "tenant", "app", "time")}, second + 8))
    alone = call(f"{tenant}-alone", 65, tenant, kind="request")
    del alone["choices"]
    return sorted([*((e, s + behind_s) for e, s in out), (alone, 66 + behind_s)], key=lambda item: item[1])


def calls(count: int, tenants: int = 1) -> list[dict[str, Any]]:
    return [
        call(f"far{k}", 0, f"evil{k % tenants}", time=FAR, choices=[{"content": f"Yes {k}."}]) for k in range(count)
    ]


def halves(count: int) -> list[dict[str, Any]]:
    out = []
    for event in calls(count):
        request = {n: v for n, v in event.items() if n != "choices"} | {"kind": "request"}
        response = {n: v for n, v in event.items() if n != "messages"} | {"kind": "response"}
        out += [request, response | {"event_id": event["event_id"] + "r"}]
    return out


def labels(count: int) -> list[dict[str, Any]]:
    said = {"kind": "feedback", "signal": "injection", "label": True, "time": FAR, "app": "chat"}
    return [said | {"feedback_id": f"x{k}", "tenant": "evil0", "call_id": f"far{k % 40}"} for k in range(count)]


def otlp(count: int) -> list[dict[str, Any]]:
    request = collector.spans(*range(count), tenant="evil0")
    for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        span["startTimeUnixNano"], span["endTimeUnixNano"] = "7258118300000000000", "7258118301000000000"
    return [orjson.loads(raw) for _, raw in normalise_spans(collector.as_proto(request), "proto").events]


ATTACKS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "40": lambda: calls(40),
    "500": lambda: calls(500),
    "8 tenants": lambda: calls(400, tenants=8),
    "halves": lambda: halves(40),
    "labels": lambda: [*calls(40), *labels(40)],
    "otlp": lambda: otlp(40),
}

EXACT = {f"12:{minute:02}": 6 for minute in range(MINUTES)}
STATES = [("slow", "firing", "12:05"), ("slow", "resolved", "12:07"), ("errors", "firing", "12:10")]

"""One hour of traffic as published records, with its ground truth.

Every record has the key ``tenant/app``. Baselines (the drift reference, the baseline rate of flags) belong to the
pipeline of a partition. With the conversation as key, an app's calls would be distributed over all four partitions;
each partition would learn its own baseline from a quarter of the calls and would see a quarter of an incident. A
service with more traffic than one partition can process uses the conversation as key and accepts one baseline per
partition.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from tools.simulator.apps import APPS
from tools.simulator.calls import CallGenerator, iso
from tools.simulator.ground_truth import AppTotals, GroundTruth
from tools.simulator.incidents import SCENARIOS, Incident, Scenario
from tools.simulator.malformed import KINDS, corrupt

CALLS = 14_400
HOUR_MS = 3_600_000
_SPLIT_SHARE = 0.12
_FEEDBACK_SHARE = 0.01
_RESPONSE_FIELDS = ("choices", "usage", "cost_usd", "latency_ms", "ttft_ms", "error", "response_model")


@dataclass(frozen=True, slots=True)
class Record:
    """Record to publish.

    Attributes
    ----------
    topic
        Topic without prefix: ``events`` or ``feedback``.
    at_ms
        Event time of publication.
    """

    topic: str
    key: bytes
    value: bytes | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Records in publication order, and their ground truth."""

    records: tuple[Record, ...]
    truth: GroundTruth


def simulate(start: datetime, *, seed: int = 7, calls: int = CALLS) -> Traffic:
    """Generate one hour of traffic.

    Parameters
    ----------
    start
        Event time at which the hour starts.
    seed
        Seed; equal seeds and start times give identical bytes.
    calls
        Number of LLM calls in the hour, over all apps.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> traffic = simulate(datetime(2026, 1, 1, tzinfo=UTC), calls=300)
    >>> traffic.truth.calls, [i.app for i in traffic.truth.incidents]
    (300, ['soc-copilot', 'triage', 'advisor', 'triage'])
    """
    run = _Run(int(start.timestamp() * 1000), random.Random(seed))
    for number in range(calls):
        run.add(number, calls)
    run.truth.incidents = tuple(run.incident(s) for s in SCENARIOS if run.affected[s.kind])
    run.records.sort(key=lambda record: record.at_ms)
    return Traffic(tuple(run.records), run.truth)


class _Run:
    def __init__(self, start_ms: int, rng: random.Random) -> None:
        self.start_ms = start_ms
        self.rng = rng
        self.records: list[Record] = []
        self.truth = GroundTruth(apps={app.name: AppTotals() for app in APPS})
        self.affected: dict[str, list[tuple[int, int, str]]] = {s.kind: [] for s in SCENARIOS}
        self._generators = {app.name: CallGenerator(app, rng) for app in APPS}
        self._shares = [app.share for app in APPS]

    def add(self, number: int, calls: int) -> None:
        """Publish the next call, sometimes with labels for it or a malformed record."""
        rng = self.rng
        at = (number + rng.random()) / calls
        at_ms = self.start_ms + int(at * HOUR_MS)
        app = rng.choices(APPS, self._shares)[0]
        scenario = next((s for s in SCENARIOS if s.app is app and s.covers(at) and rng.random() < s.share), None)
        version = "v2" if scenario is not None and scenario.kind == "regression" else "v1"
        call = self._generators[app.name].call(at_ms, version, scenario.kind if scenario else None)
        totals = self.truth.apps[app.name]
        if scenario is not None:
            self.affected[scenario.kind].append((at_ms, totals.calls, call["event_id"]))
        totals.add(call, at_ms)
        key = app.key.encode()
        self._publish(key, call, at_ms)
        self._publish_feedback(key, call, at_ms, scenario)
        if number % 600 == 599:
            self._put("malformed", "events", key, corrupt(call | {"event_id": "broken"}, number // 600 % KINDS), at_ms)

    def incident(self, scenario: Scenario) -> Incident:
        """Return the incident that a scenario produced."""
        affected = self.affected[scenario.kind]
        start_ms, start_index, _ = affected[0]
        ids = frozenset(event_id for _, _, event_id in affected)
        app = scenario.app
        return Incident(
            scenario.kind, scenario.title, app.tenant, app.name, start_ms, affected[-1][0], start_index, ids
        )

    def _publish(self, key: bytes, call: dict[str, Any], at_ms: int) -> None:
        if self.rng.random() >= _SPLIT_SHARE:
            self._put("call", "events", key, orjson.dumps(call), at_ms)
            return
        request, response = split(call, at_ms)
        self._put("request", "events", key, orjson.dumps(request), at_ms)
        self._put("response", "events", key, orjson.dumps(response), at_ms + int(call["latency_ms"]))

    def _publish_feedback(self, key: bytes, call: dict[str, Any], at_ms: int, scenario: Scenario | None) -> None:
        if self.rng.random() >= _FEEDBACK_SHARE:
            return
        kind = scenario.kind if scenario else None
        later = at_ms + self.rng.randrange(5_000, 60_000)
        for signal in ("injection", "hallucination"):
            if signal == "injection" or call["documents"]:
                self._put("feedback", "feedback", key, orjson.dumps(_label(call, signal, later, signal == kind)), later)

    def _put(self, kind: str, topic: str, key: bytes, value: bytes | None, at_ms: int) -> None:
        self.truth.kinds[kind] += 1
        self.records.append(Record(topic, key, value, at_ms))


def split(call: dict[str, Any], at_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the request and the response record of a call; the worker joins them by ``call_id``."""
    name = call["call_id"]
    request = {k: v for k, v in call.items() if k not in _RESPONSE_FIELDS}
    response = {k: v for k, v in call.items() if k in _RESPONSE_FIELDS or k in {"call_id", "tenant", "app"}}
    ended = iso(at_ms + int(call["latency_ms"]))
    return (
        request | {"kind": "request", "event_id": f"{name}-q"},
        response | {"kind": "response", "event_id": f"{name}-r", "time": ended},
    )


def _label(call: dict[str, Any], signal: str, at_ms: int, label: bool) -> dict[str, Any]:
    identity = {k: call[k] for k in ("call_id", "tenant", "app", "conversation_id")}
    name = f"{call['call_id']}-{signal}"
    return {"feedback_id": name, "time": iso(at_ms), "signal": signal, "label": label, "source": "annotator"} | identity

"""An hour of traffic as the records that services publish, with the truth about it.

Every record is keyed ``tenant/app``, conversations or not. Baselines (drift's reference, the usual rate of flags) live
in the pipeline of a partition: keyed by conversation, an app's calls spread over all partitions, and each of the four
would have to learn its own baseline from a quarter of the calls and would see a quarter of an incident. A service with
more traffic than one partition carries keys by conversation and learns four baselines in the time of one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from tools.simulator.apps import APPS
from tools.simulator.calls import Caller, iso
from tools.simulator.ground_truth import AppTruth, Truth
from tools.simulator.incidents import SCENARIOS, Incident, Scenario
from tools.simulator.malformed import KINDS, spoil

CALLS = 14_400
HOUR_MS = 3_600_000
_HALVES = 0.12
_FEEDBACK = 0.01
_RESPONSE_FIELDS = ("choices", "usage", "cost_usd", "latency_ms", "ttft_ms", "error", "response_model")


@dataclass(frozen=True, slots=True)
class Record:
    """One record to publish.

    Attributes
    ----------
    topic
        ``events`` or ``feedback``, without prefix.
    at_ms
        Event time at which the service publishes it.
    """

    topic: str
    key: bytes
    value: bytes | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Records in the order in which they are published, and what is true of them."""

    records: tuple[Record, ...]
    truth: Truth


def simulate(begin: datetime, *, seed: int = 7, calls: int = CALLS) -> Traffic:
    """Make an hour of traffic.

    Parameters
    ----------
    begin
        Event time of the first call.
    seed
        The same seed and begin give the same bytes.
    calls
        LLM calls in the hour, all apps together.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> traffic = simulate(datetime(2026, 1, 1, tzinfo=UTC), calls=300)
    >>> traffic.truth.calls, [i.app for i in traffic.truth.incidents]
    (300, ['soc-copilot', 'triage', 'advisor', 'triage'])
    """
    run = _Run(int(begin.timestamp() * 1000), random.Random(seed))
    for number in range(calls):
        run.add(number, calls)
    run.truth.incidents = tuple(run.incident(s) for s in SCENARIOS if run.touched[s.kind])
    run.records.sort(key=lambda record: record.at_ms)
    return Traffic(tuple(run.records), run.truth)


class _Run:
    def __init__(self, begin_ms: int, rng: random.Random) -> None:
        self.begin_ms = begin_ms
        self.rng = rng
        self.records: list[Record] = []
        self.truth = Truth(apps={app.name: AppTruth() for app in APPS})
        self.touched: dict[str, list[tuple[int, int, str]]] = {s.kind: [] for s in SCENARIOS}
        self._callers = {app.name: Caller(app, rng) for app in APPS}
        self._shares = [app.share for app in APPS]

    def add(self, number: int, calls: int) -> None:
        """Publish the next call, and now and then a label for it or a record that is none."""
        rng = self.rng
        where = (number + rng.random()) / calls
        at_ms = self.begin_ms + int(where * HOUR_MS)
        app = rng.choices(APPS, self._shares)[0]
        scenario = next((s for s in SCENARIOS if s.app is app and s.covers(where) and rng.random() < s.share), None)
        version = "v2" if scenario is not None and scenario.kind == "regression" else "v1"
        call = self._callers[app.name].call(at_ms, version, scenario.kind if scenario else None)
        truth = self.truth.apps[app.name]
        if scenario is not None:
            self.touched[scenario.kind].append((at_ms, truth.calls, call["event_id"]))
        truth.add(call, at_ms)
        key = app.key.encode()
        self._publish(key, call, at_ms)
        self._comment(key, call, at_ms, scenario)
        if number % 600 == 599:
            self._put("malformed", "events", key, spoil(call | {"event_id": "broken"}, number // 600 % KINDS), at_ms)

    def incident(self, scenario: Scenario) -> Incident:
        """Return what became of a scenario."""
        touched = self.touched[scenario.kind]
        begin_ms, begin_index, _ = touched[0]
        names = frozenset(event_id for _, _, event_id in touched)
        app = scenario.app
        return Incident(
            scenario.kind, scenario.title, app.tenant, app.name, begin_ms, touched[-1][0], begin_index, names
        )

    def _publish(self, key: bytes, call: dict[str, Any], at_ms: int) -> None:
        if self.rng.random() >= _HALVES:
            self._put("call", "events", key, orjson.dumps(call), at_ms)
            return
        request, response = halves(call, at_ms)
        self._put("request", "events", key, orjson.dumps(request), at_ms)
        self._put("response", "events", key, orjson.dumps(response), at_ms + int(call["latency_ms"]))

    def _comment(self, key: bytes, call: dict[str, Any], at_ms: int, scenario: Scenario | None) -> None:
        if self.rng.random() >= _FEEDBACK:
            return
        kind = scenario.kind if scenario else None
        later = at_ms + self.rng.randrange(5_000, 60_000)
        for signal in ("injection", "hallucination"):
            if signal == "injection" or call["documents"]:
                self._put("feedback", "feedback", key, orjson.dumps(_label(call, signal, later, signal == kind)), later)

    def _put(self, kind: str, topic: str, key: bytes, value: bytes | None, at_ms: int) -> None:
        self.truth.kinds[kind] += 1
        self.records.append(Record(topic, key, value, at_ms))


def halves(call: dict[str, Any], at_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a call as its request and its response; the worker joins them by ``call_id`` and names the whole by it."""
    name = call["call_id"]
    request = {k: v for k, v in call.items() if k not in _RESPONSE_FIELDS}
    response = {k: v for k, v in call.items() if k in _RESPONSE_FIELDS or k in {"call_id", "tenant", "app"}}
    ended = iso(at_ms + int(call["latency_ms"]))
    return (
        request | {"kind": "request", "event_id": f"{name}-q"},
        response | {"kind": "response", "event_id": f"{name}-r", "time": ended},
    )


def _label(call: dict[str, Any], signal: str, at_ms: int, label: bool) -> dict[str, Any]:
    same = {k: call[k] for k in ("call_id", "tenant", "app", "conversation_id")}
    name = f"{call['call_id']}-{signal}"
    return {"feedback_id": name, "time": iso(at_ms), "signal": signal, "label": label, "source": "annotator"} | same

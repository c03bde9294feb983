"""Measure how often a drift alarm names the right cause first, on simulated incidents in traffic of real texts.

    python -m evaluation.drift_causes DATA [SEEDS]

DATA is the folder with ``drift.jsonl.gz`` and ``injection_eval.jsonl.gz``. Two tenants send 2,800 calls; after 2,200
calls an incident starts at one tenant. The first alarm of that tenant within 600 of its calls counts. If the rule of an
agent's own signal (``injection.rate``, critical) fires within 60 calls of drift's rule (warning), it takes precedence.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.base import ChangePoint, Chunk
from agents.drift import DriftAgent
from agents.injection import InjectionAgent
from schemas.event import CallError, Choice, LLMEvent, Message, Usage

CALLS, INCIDENT_START = 2_800, 2_200
PRECEDENCE_CALLS = 60
CHUNK = 256
TENANTS = ("acme", "globex")
START = datetime(2026, 1, 1, tzinfo=UTC)
_REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of the calls.

    Attributes
    ----------
    normal, other
        Instructions, and questions of another kind.
    foreign
        Questions in Korean.
    attacks
        Prompt injections.
    """

    normal: Sequence[str]
    other: Sequence[str]
    foreign: Sequence[str]
    attacks: Sequence[str]


@dataclass(slots=True)
class Call:
    """Properties of a call that an incident may change.

    ``length`` multiplies the answer's sentences, ``latency`` the latency, ``ttft`` the time to first token.
    """

    prompt: str
    length: float = 1.0
    latency: float = 1.0
    ttft: float = 1.0
    form: str = "prose"
    opening: str = ""
    refused: bool = False
    failed: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


Incident = Callable[[Call, random.Random, Texts, float], None]


def topic(call: Call, rng: random.Random, texts: Texts, size: float) -> None:
    if rng.random() < 0.3 + 0.7 * size:
        call.prompt = rng.choice(texts.other)


def language(call: Call, rng: random.Random, texts: Texts, size: float) -> None:
    if rng.random() < 0.2 + 0.8 * size:
        call.prompt = rng.choice(texts.foreign)


def prompt_length(call: Call, rng: random.Random, texts: Texts, size: float) -> None:
    call.prompt = "\n".join([call.prompt, *(rng.choice(texts.normal) for _ in range(2 + int(3 * size)))])


def prompt_version(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    if rng.random() < 0.5 + 0.5 * size:
        call.fields["prompt_version"], call.length = "v2", 1.5 + size


def model(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    if rng.random() < 0.5 + 0.5 * size:
        call.fields |= {"request_model": "large-2", "response_model": "large-2-0901"}
        call.length, call.latency = 1.4 + size, 0.6


def provider(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    """Replace the model behind the same name: shorter and faster answers, more lists, another opening."""
    call.length, call.latency, call.ttft = 0.75 - 0.3 * size, 0.9 - 0.2 * size, 0.8
    if rng.random() < 0.3 + 0.5 * size:
        call.form = rng.choice(("list", "bold"))
    if rng.random() < 0.3 + 0.5 * size:
        call.opening = "Certainly! "
    call.refused = call.refused or rng.random() < 0.05 * size


def provider_fingerprint(call: Call, rng: random.Random, texts: Texts, size: float) -> None:
    """Replace the model with a new system fingerprint and nearly the same answers."""
    call.fields["system_fingerprint"] = "fp_b"
    call.length = 1.0 + 0.1 * size
    _ = rng, texts


def latency(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    call.latency = call.ttft = 1.4 + size * rng.random()


def refusal(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    call.refused = call.refused or rng.random() < 0.15 + 0.5 * size


def error(call: Call, rng: random.Random, _: Texts, size: float) -> None:
    call.failed = call.failed or rng.random() < 0.1 + 0.4 * size


def answer_length(call: Call, _: random.Random, __: Texts, size: float) -> None:
    call.length = 1.6 + size


def injection(call: Call, rng: random.Random, texts: Texts, size: float) -> None:
    if rng.random() < 0.15 + 0.3 * size:
        call.prompt = rng.choice(texts.attacks)


INCIDENTS: Mapping[str, tuple[Incident, str]] = {
    "topic of one tenant": (topic, "topic"),
    "language": (language, "language"),
    "longer prompts": (prompt_length, "prompt length"),
    "prompt version": (prompt_version, "prompt version"),
    "requested model": (model, "model"),
    "silent provider change": (provider, "provider"),
    "provider change by its fingerprint": (provider_fingerprint, "provider"),
    "latency at the provider": (latency, "latency"),
    "refusal wave": (refusal, "refusal"),
    "error wave": (error, "error"),
    "longer answers": (answer_length, "answer length"),
    "injection wave": (injection, "injection"),
}
"""Incidents with the correct kind of cause."""


def events(texts: Texts, incident: Incident | None, seed: int) -> Iterator[LLMEvent]:
    """Yield the calls of both tenants; the incident affects the first tenant."""
    rng = random.Random(seed)
    size = rng.random()
    for i in range(CALLS):
        tenant = TENANTS[rng.random() < 0.4]
        call = Call(rng.choice(texts.normal), refused=rng.random() < 0.02, failed=rng.random() < 0.01)
        call.form = rng.choices(("prose", "list", "code"), (80, 15, 5))[0]
        if incident is not None and i >= INCIDENT_START and tenant == TENANTS[0]:
            incident(call, rng, texts, size)
        yield _event(i, tenant, call, rng, texts)


def _event(i: int, tenant: str, call: Call, rng: random.Random, texts: Texts) -> LLMEvent:
    answer = _answer(call, rng, texts)
    tokens = max(1, int(len(answer) / 4 * rng.lognormvariate(0, 0.05)))
    prompt_tokens = 300 + len(call.prompt) // 4
    fields: dict[str, Any] = {
        "event_id": f"e{i}",
        "call_id": f"c{i}",
        "time": START + timedelta(seconds=i),
        "tenant": tenant,
        "app": "assistant",
        "prompt_version": "v1",
        "request_model": "large",
        "response_model": "large-0613",
        "system_fingerprint": "fp_a",
        "messages": (Message(role="user", content=call.prompt),),
        "latency_ms": (200 + 8 * tokens) * call.latency * rng.lognormvariate(0, 0.35),
        "ttft_ms": 180 * call.ttft * rng.lognormvariate(0, 0.3),
    }
    if call.failed:
        return LLMEvent(**fields, error=CallError(type="timeout"))
    finish = "length" if rng.random() < 0.03 else "stop"
    usage = Usage(input_tokens=prompt_tokens, output_tokens=tokens)
    fields |= {"choices": (Choice(content=answer, finish_reason=finish),), "usage": usage}
    fields["cost_usd"] = 1e-6 * (prompt_tokens + 4 * tokens)
    return LLMEvent(**(fields | call.fields))


def _answer(call: Call, rng: random.Random, texts: Texts) -> str:
    if call.refused:
        return _REFUSAL
    parts = [rng.choice(texts.normal) for _ in range(max(1, round(call.length * rng.uniform(3, 9))))]
    if call.form == "list":
        return call.opening + "Here it is:\n" + "\n".join(f"- {part}" for part in parts)
    if call.form == "bold":
        return call.opening + "**" + "** ".join(parts)
    if call.form == "code":
        return call.opening + "```\n" + "\n".join(parts) + "\n```"
    return call.opening + " ".join(parts)


def first_cause(alarms: Sequence[tuple[int, ChangePoint]]) -> tuple[int, str, str]:
    """Return position, kind of cause and description of the first alarm of one tenant."""
    if not alarms:
        return -1, "", "no alarm"
    first = alarms[0][0]
    for position, change in alarms:
        if change.signal == "injection.rate" and position <= first + PRECEDENCE_CALLS:
            return position, "injection", f"{change.signal} {change.before:.3f} to {change.after:.3f}"
    change = alarms[0][1]
    cause = change.causes[0] if change.causes else change.signal
    return first, cause.split(":")[0], f"{change.signal}; {cause}"


def play(texts: Texts, incident: Incident | None, seed: int) -> tuple[list[tuple[int, ChangePoint]], int]:
    """Return the tenant's alarms after the start, by its number of calls since then, and the number of other alarms."""
    agents = (DriftAgent(), InjectionAgent())
    calls = list(events(texts, incident, seed))
    alarms: list[tuple[int, ChangePoint]] = []
    for k in range(0, CALLS, CHUNK):
        chunk = Chunk(calls[k : k + CHUNK])
        alarms += [(k + change.index, change) for agent in agents for change in agent.score(chunk).changes]
    alarms.sort(key=lambda item: item[0])
    hits = [
        (i, c) for i, c in alarms if i >= INCIDENT_START and c.segment["tenant"] == TENANTS[0] and incident is not None
    ]
    since = {i: n for n, i in enumerate(j for j in range(INCIDENT_START, CALLS) if calls[j].tenant == TENANTS[0])}
    return [(since[i], c) for i, c in hits], len(alarms) - len(hits)


def measure(data: Path, seeds: int = 5) -> dict[str, Any]:
    """Return by kind the number of correct first causes, delays and descriptions, and the totals over kinds."""
    texts = read(data)
    kinds: dict[str, Any] = {}
    other = 0
    for kind, (incident, right) in INCIDENTS.items():
        first_causes = []
        for seed in range(seeds):
            alarms, other_alarms = play(texts, incident, seed)
            first_causes.append(first_cause(alarms))
            other += other_alarms
        kinds[kind] = {
            "correct": sum(cause == right for _, cause, _ in first_causes),
            "of": seeds,
            "delays": [position for position, _, _ in first_causes],
            "first_alarms": [description for _, _, description in first_causes],
        }
    correct = sum(k["correct"] for k in kinds.values())
    total = seeds * len(INCIDENTS)
    return {"correct": correct, "of": total, "share": correct / total, "other_alarms": other, "kinds": kinds}


def read(data: Path) -> Texts:
    """Return texts of the two sources of ``drift``, its Korean questions, and attacks of ``injection_eval``."""
    streams = defaultdict(list)
    for row in _rows(data / "drift.jsonl.gz"):
        streams[row["stream"]].append(row["text"])
    attacks = [r["text"] for r in _rows(data / "injection_eval.jsonl.gz") if r["label"] and r["role"] == "user"]
    foreign = [t for s in (6, 7) for t in streams[s] if sum("가" <= c <= "힣" for c in t) > 5]
    return Texts(streams[10], streams[8], foreign, attacks)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), *map(int, sys.argv[2:])), indent=1))

"""What the monitor writes: scored events, alerts, aggregates and dead letters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.event import Contract, Time


class Scored(Contract):
    """One whole call with the signals the agents gave it (topic ``llm.scored``, at the source's partition number).

    ``source_offset`` and ``source_seq`` say which record completed the call: together with the partition they are
    unique and ascending, which is what lets the sink drop what a replay repeats.
    """

    event: dict[str, Any] = Field(description="the LLMEvent as judged; halves joined")
    signals: dict[str, dict[str, Any] | None] = Field(description="by agent: what it said, null if nothing")
    label_request_probability: dict[str, float] = Field(
        default_factory=dict, description="by agent that requested this event's label: probability of the request"
    )
    input_issues: tuple[str, ...] = Field(
        (), description="codes of what was repaired, shortened or out of range in the event; schemas/event.py"
    )
    source_partition: int
    source_offset: int
    source_seq: int = Field(0, description="nth call released by that record")


class Alert(Contract):
    """A change of state of one alert (topic ``llm.alerts``, key ``fingerprint``, compacted: the latest state stays)."""

    alert_id: str = Field(description="the same from firing to resolved; a hash of fingerprint and the firing event")
    fingerprint: str = Field(description="hash of rule, segment and source partition")
    state: Literal["firing", "resolved"]
    rule: str
    severity: Literal["info", "warning", "critical"]
    signal: str
    segment: dict[str, str]
    summary: str = Field(description="one sentence for the on-call engineer")
    value: float = Field(description="what was measured, in the signal's unit")
    threshold: float
    started_at: Time = Field(description="event time at which it fired")
    changed_at: Time = Field(description="event time of this state")
    change_started_at: Time | None = Field(None, description="estimated start of the change, where the signal has one")
    evidence: tuple[str, ...] = Field((), description="event ids")
    details: dict[str, Any] = Field(default_factory=dict, description="drift: before, after, terms, slices")
    source_partition: int
    source_offset: int = Field(description="the record that caused this state; later states have higher ones")


class ShadowFinding(Contract):
    """What a second version of rules or agents would have done (topic ``llm.shadow``; for engineers, never for people).

    ``kind=alert``: a change of state of an alert that either version made; of the second, or where ``verdict`` is
    ``vanished`` of the first. ``kind=flag``: an event that one of the two flags and the other does not.
    """

    kind: Literal["alert", "flag"]
    shadow: str = Field(description="the second version: the name of its file")
    verdict: Literal["same", "changed", "appeared", "vanished"] = Field(
        description="appeared: of the second version only; vanished: of the first only"
    )
    signal: str
    alert: Alert | None = None
    primary_score: float | None = Field(None, description="kind=flag: what the first version gave the event")
    shadow_score: float | None = Field(None, description="kind=flag: what the second gave it")
    event_id: str | None = None
    call_id: str | None = None
    tenant: str | None = None
    app: str | None = None
    source_partition: int
    source_offset: int


class Verdict(Contract):
    """What a reviewer said of one event (topic ``llm.verdicts``). It may come more than once, with the same id."""

    verdict_id: str = Field(description="hash of reviewer, model, signal, tenant and event")
    reviewer: Literal["encoder", "judge"]
    model: str
    signal: str
    label: bool
    score: float | None = Field(None, description="probability, where the reviewer gives one")
    why: Literal["suspicious", "requested", "sampled"] = Field(description="why it was asked")
    probability: float = Field(description="with which an event like this is asked about, the budget aside")
    event_id: str
    call_id: str
    time: Time = Field(description="of the event")
    tenant: str
    app: str
    source_partition: int
    source_offset: int


class Aggregate(Contract):
    """Absolute values of one minute of one segment, from one source partition (an idempotent upsert).

    Parts of several partitions and minutes merge by adding every count, sum and histogram. Histogram buckets are
    logarithmic (Masson et al. 2019, DDSketch): bucket ``k`` holds values in (g**(k-1), g**k], g = 1.02/0.98, so a
    quantile read from them is within 2 %.
    """

    window_start: Time
    tenant: str
    app: str
    model: str
    prompt_version: str
    source_partition: int
    version: int = Field(description="source offset of the last event included: the highest wins")
    events: int
    errors: int
    refusals: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_nanousd: int
    injection_flags: int
    hallucination_flags: int
    grounded: int = Field(description="events that had a context and were scored for grounding")
    latency_ms: dict[int, int] = Field(description="log bucket to count")
    ttft_ms: dict[int, int]
    grounding: dict[int, int] = Field(description="twentieth of the unit interval (0..19) to count")


class DeadLetter(Contract):
    """A record that could not be scored or stored, with the reason and where it came from (topic ``llm.dead_letters``).

    Of a record of more than 512 KiB the first 512 KiB are kept, and less where the topic takes less: ``raw_bytes`` and
    ``raw_sha256`` are always of the whole.
    """

    dead_letter_id: str = Field(description="hash of topic, partition and offset")
    reason: str = Field(description="decode, contract, batch (not unpacked), size (of an output), or sink")
    error: str = Field(description="names the field and the fix")
    source_topic: str
    source_partition: int
    source_offset: int
    key: str | None = Field(None, description="at most its first 1,024 characters")
    raw: str = Field(description="the record's bytes in base64, at most the first 512 KiB of them")
    raw_bytes: int = Field(0, ge=0, description="how many bytes the record has; 0 on letters of versions before 0.5")
    raw_sha256: str = Field("", description="SHA-256 of all of them, hexadecimal; empty where raw_bytes is not set")

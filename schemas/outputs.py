"""Contracts of the output topics: scored events, alerts, aggregates, verdicts and dead letters."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.event import Contract, Time


class Scored(Contract):
    """A complete call with the signals of all agents (topic ``llm.scored``, in the partition number of its source).

    ``source_offset`` and ``source_seq`` identify the record that completed the call. Per partition they are unique and
    ascending, so the sink can drop the rows that a replay repeats.
    """

    event: dict[str, Any] = Field(description="the LLMEvent as scored, with its halves joined")
    signals: dict[str, dict[str, Any] | None] = Field(description="signal by agent; null if the agent has none")
    label_request_probability: dict[str, float] = Field(
        default_factory=dict, description="by agent that requested this event's label: probability of the request"
    )
    input_issues: tuple[str, ...] = Field(
        (), description="codes for values that were repaired, shortened or out of range; schemas/event.py"
    )
    source_partition: int
    source_offset: int
    source_seq: int = Field(0, description="position of the call among the calls that the record completed, from 0")


class Alert(Contract):
    """A state change of an alert (topic ``llm.alerts``, key ``fingerprint``; compaction keeps the latest state)."""

    alert_id: str = Field(description="hash of fingerprint and firing event; the same from firing to resolved")
    fingerprint: str = Field(description="hash of rule, segment and source partition")
    state: Literal["firing", "resolved"]
    rule: str
    severity: Literal["info", "warning", "critical"]
    signal: str
    segment: dict[str, str]
    summary: str = Field(description="one sentence for the on-call engineer")
    value: float = Field(description="measured value, in the signal's unit")
    threshold: float
    started_at: Time = Field(description="event time at which the alert fired")
    changed_at: Time = Field(description="event time of this state")
    change_started_at: Time | None = Field(
        None, description="estimated start of the change, if the signal estimates one"
    )
    evidence: tuple[str, ...] = Field((), description="ids of events that caused the alert")
    details: dict[str, Any] = Field(default_factory=dict, description="drift: before, after, terms, slices")
    source_partition: int
    source_offset: int = Field(description="offset of the record that caused this state; later states have higher ones")


class ShadowFinding(Contract):
    """A result of a shadow version of rules or agents, compared with the primary (topic ``llm.shadow``).

    ``kind=alert``: a state change of an alert of either version; ``alert`` is the shadow's, or the primary's if
    ``verdict`` is ``vanished``. ``kind=flag``: an event that only one of the two versions flags. Findings help to
    evaluate a version and never page anybody.
    """

    kind: Literal["alert", "flag"]
    shadow: str = Field(description="name of the shadow version: the name of its file")
    verdict: Literal["same", "changed", "appeared", "vanished"] = Field(
        description="appeared: shadow version only; vanished: primary version only"
    )
    signal: str
    alert: Alert | None = None
    primary_score: float | None = Field(None, description="kind=flag only: score of the primary version")
    shadow_score: float | None = Field(None, description="kind=flag only: score of the shadow version")
    event_id: str | None = None
    call_id: str | None = None
    tenant: str | None = None
    app: str | None = None
    source_partition: int
    source_offset: int


class Verdict(Contract):
    """Verdict of a reviewer on an event (topic ``llm.verdicts``); may be published repeatedly, with the same id."""

    verdict_id: str = Field(description="hash of reviewer, model, signal, tenant and event")
    reviewer: Literal["encoder", "judge"]
    model: str
    signal: str
    label: bool
    score: float | None = Field(None, description="probability, if the reviewer reports one")
    reason: Literal["suspicious", "requested", "sampled"] = Field(description="reason for the selection of the event")
    probability: float = Field(description="selection probability, ignoring the budget")
    event_id: str
    call_id: str
    time: Time = Field(description="time of the event")
    tenant: str
    app: str
    source_partition: int
    source_offset: int


class Aggregate(Contract):
    """Absolute values of one minute, one segment and one source partition (an idempotent upsert).

    Rows of several partitions and minutes merge by addition of counts, sums and histograms. Histogram buckets are
    logarithmic (Masson et al. 2019, DDSketch): bucket ``k`` holds values in (g**(k-1), g**k], g = 1.02/0.98, so
    quantiles are within 2 %.
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
    grounding: dict[int, int] = Field(description="bucket of width 0.05 (0..19) to count")


class DeadLetter(Contract):
    """A record that could not be scored or stored, with the reason and its source (topic ``llm.dead_letters``).

    ``raw`` keeps at most the first 512 KiB of the record, less if the topic's limit is lower. ``raw_bytes`` and
    ``raw_sha256`` always describe the whole record.
    """

    dead_letter_id: str = Field(description="hash of topic, partition and offset")
    reason: str = Field(
        description="decode, contract, batch (rejected record batch), size (output too large), signature or sink"
    )
    error: str = Field(description="names the field and the fix")
    source_topic: str
    source_partition: int
    source_offset: int
    key: str | None = Field(None, description="key of the record, at most its first 1,024 characters")
    raw: str = Field(description="bytes of the record in base64, at most the first 512 KiB")
    raw_bytes: int = Field(0, ge=0, description="size of the record in bytes; 0 if written before version 0.5")
    raw_sha256: str = Field("", description="SHA-256 of the whole record, hexadecimal; empty if raw_bytes is not set")

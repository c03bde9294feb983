"""Sections of the settings tree: one class per section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.urls import check_url


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Port = Annotated[int, Field(ge=0, le=65535)]
_Days = Annotated[int, Field(ge=1)]
_HEALTH_HOST = "address of /health, /ready and /metrics"
_HEALTH_PORT = "port of /health, /ready and /metrics; 0: any free port"
_DRAIN = "maximum seconds that a stopping process takes to finish started work"
_SUSPICIOUS = "minimum score of a suspicious event; a flagged event is always suspicious"
_SAMPLED = "fraction of all other events that are reviewed too"


class KafkaSettings(_Section):
    """Settings of the Kafka connection and the topics."""

    brokers: str = Field("127.0.0.1:9092", description="bootstrap servers: host:port, comma-separated")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; with SASL_PLAINTEXT and SASL_SSL"
    )
    username: str | None = Field(None, description="SASL user")
    password: SecretStr | None = Field(None, description="SASL password")
    ca_file: Path | None = Field(
        None, description="PEM file with the brokers' certificate authority; None: the system's certificates"
    )
    topic_prefix: str = Field("llm", description="topics are <prefix>.events, <prefix>.alerts, ...")
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(
        4, description="partitions of each topic; used by `streamgauge topics create`"
    )
    replication_factor: Annotated[int, Field(ge=1)] = Field(
        1, description="replicas of each topic; used by `streamgauge topics create`"
    )
    session_timeout_s: Annotated[float, Field(ge=6)] = Field(
        10.0, description="seconds after which the partitions of a killed worker move to another worker"
    )
    heartbeat_s: Annotated[float, Field(gt=0)] = Field(
        2.0,
        description="seconds between heartbeats to the group coordinator; keep it under a third of session_timeout_s",
    )
    otlp: bool = Field(False, description="read OTLP from the two topics of an OpenTelemetry Collector")
    otlp_spans_topic: str = Field("otlp_spans", description="topic of spans: its full name, without the prefix")
    otlp_logs_topic: str = Field("otlp_logs", description="topic of log records: its full name, without the prefix")
    otlp_encoding: Literal["auto", "proto", "json"] = Field(
        "auto",
        description="encoding of the Collector, otlp_proto or otlp_json; auto: JSON if the first byte is a brace",
    )
    otlp_wait_for_logs: bool = Field(
        False,
        description="messages and responses arrive as log records: a span waits for them up to worker.join_timeout_s",
    )

    def topic(self, name: str) -> str:
        """Return the full name of a topic."""
        return f"{self.topic_prefix}.{name}"


class WorkerSettings(_Section):
    """Settings of the worker."""

    group: str = Field("streamgauge-worker", description="consumer group; workers of one group share the partitions")
    chunk_records: Annotated[int, Field(ge=1, le=10_000)] = Field(
        256, description="maximum records processed as one unit"
    )
    snapshot_interval_s: Annotated[float, Field(gt=0)] = Field(
        5.0, description="seconds between state snapshots; bounds the replay after a crash"
    )
    buffer_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        64 << 20, description="maximum bytes of records buffered in memory; above it the worker stops fetching"
    )
    join_pending_max: Annotated[int, Field(ge=1)] = Field(
        10_000, description="maximum unmatched request and response halves waiting, per partition"
    )
    join_timeout_s: Annotated[float, Field(gt=0)] = Field(
        600.0, description="seconds of event time that a request or response half waits for its match"
    )
    allowed_skew_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        300.0,
        description="maximum seconds that an event's time may be ahead of its record's broker time, since clocks of "
        "hosts differ; a later event is scored, counted at the broker's time and marked `time_skew` (input_issues)",
    )
    health_host: str = Field("127.0.0.1", description=_HEALTH_HOST)
    health_port: _Port = Field(6066, description=_HEALTH_PORT)
    drain_timeout_s: Annotated[float, Field(gt=0)] = Field(10.0, description=_DRAIN)
    dedup_window: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        50_000, description="deduplication window: recent event ids remembered per partition; 0 disables"
    )
    snapshot_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 34)] = Field(
        256 << 20,
        description="maximum unpacked bytes of a partition's state; a larger state is not restored",
    )
    shadow_file: Path | None = Field(
        None, description="YAML file with rules, or settings of agents and alerts, that run in shadow (docs/shadow.md)"
    )


class SinkSettings(_Section):
    """Settings of the sink, which writes to ClickHouse."""

    group: str = Field("streamgauge-sink", description="consumer group; sinks of one group share the partitions")
    batch_rows: Annotated[int, Field(ge=1)] = Field(20_000, description="rows that fill a batch")
    linger_s: Annotated[float, Field(gt=0)] = Field(1.0, description="maximum seconds that a row waits for its batch")
    retry_max_s: Annotated[float, Field(gt=0)] = Field(
        15.0, description="maximum seconds between retries while ClickHouse is unavailable"
    )
    health_host: str = Field("127.0.0.1", description=_HEALTH_HOST)
    health_port: _Port = Field(6067, description=_HEALTH_PORT)


class IngestSettings(_Section):
    """Settings of the ingest service: events, feedback and OTLP over HTTP."""

    host: str = Field("127.0.0.1", description="listen address; without keys_file only a loopback address is allowed")
    port: _Port = Field(6068, description="listen port; 0: any free port")
    keys_file: Path | None = Field(
        None, description="YAML file with hashes of API keys; `streamgauge ingest-key create` adds one"
    )
    allow_anonymous: bool = Field(False, description="accept all senders without keys_file, on any listen address")
    tls_cert_file: Path | None = Field(
        None, description="PEM file with the certificate and its chain; enables HTTPS if set"
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file with the private key; not needed if tls_cert_file contains the key"
    )
    body_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 30)] = Field(
        16 << 20, description="maximum bytes of one body, unpacked; at most a quarter of in_flight_bytes"
    )
    body_events: Annotated[int, Field(ge=1)] = Field(10_000, description="maximum events of one body")
    in_flight_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        64 << 20,
        description="maximum bytes received and not yet acknowledged by Kafka; above it 503. One key may use at most "
        "as many bytes as remain free: half of the total if no other key sends",
    )
    requests_per_key: Annotated[int, Field(ge=1)] = Field(
        256, description="maximum concurrent requests of one key (without keys: of one address); above it 429"
    )
    connections: Annotated[int, Field(ge=1)] = Field(
        1024,
        description="maximum open connections, fewer if the process may open fewer files; above it the least recently "
        "used connection of the sender with the most connections is closed",
    )
    body_bytes_per_s: Annotated[float, Field(gt=0)] = Field(
        1024.0,
        description="minimum upload rate of a body in bytes per second, except for pauses up to body_stall_s; below "
        "it 408",
    )
    body_stall_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="maximum seconds of a pause in a body; above it 408"
    )
    otlp_wait_for_logs: bool = Field(
        False, description="the same as kafka.otlp_wait_for_logs, for telemetry sent over HTTP"
    )
    read_timeout_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="maximum seconds to receive the header of a request, and to receive its body"
    )
    write_timeout_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="maximum seconds to wait for Kafka's acknowledgement; above it 503"
    )
    health_host: str = Field("127.0.0.1", description=_HEALTH_HOST)
    health_port: _Port = Field(6069, description=_HEALTH_PORT)
    drain_timeout_s: Annotated[float, Field(gt=0)] = Field(15.0, description=_DRAIN)


class ClickHouseSettings(_Section):
    """Settings of ClickHouse: a server, or the embedded engine if ``path`` is set."""

    host: str = Field("127.0.0.1", description="host of the server")
    port: int = Field(8123, description="HTTP port of the server")
    secure: bool = Field(False, description="connect over HTTPS")
    username: str = Field("default", description="user of the server")
    password: SecretStr = Field(SecretStr(""), description="password of the user")
    database: str = Field("streamgauge", description="database of all tables; letters, digits and _")
    path: Path | None = Field(None, description="folder of an embedded engine (chDB), used instead of a server")
    cluster: str | None = Field(None, description="cluster name for ON CLUSTER; tables use Replicated* engines if set")
    events_days: _Days = Field(90, description="days that rows of events are kept")
    alerts_days: _Days = Field(730, description="days that rows of alerts are kept")
    aggregates_days: _Days = Field(730, description="days that rows of aggregates_1m are kept")
    dead_letters_days: _Days = Field(30, description="days that rows of dead_letters are kept")
    feedback_days: _Days = Field(730, description="days that rows of feedback are kept")
    quality_days: _Days = Field(730, description="days that rows of quality are kept")


class AggregatesSettings(_Section):
    """Settings of the one-minute aggregation windows."""

    lateness_s: Annotated[float, Field(ge=0)] = Field(
        120.0,
        description="seconds of event time that a window stays open after its end, by the watermark of its tenant and "
        "app; a later event is scored and belongs to no window (streamgauge_aggregates_late_total)",
    )
    flush_interval_s: Annotated[float, Field(gt=0)] = Field(
        2.0, description="seconds between publications of open windows"
    )


class AlertsSettings(_Section):
    """Settings of alerts."""

    rules_file: Path | None = Field(
        None, description="YAML file with alert rules (docs/contracts/rules.md); None: the built-in rules"
    )


class DriftSettings(_Section):
    """Settings of the drift agent."""

    events_per_false_alarm: Annotated[int, Field(ge=100)] = Field(
        10_000, description="mean events between false alarms per tenant and app; a lower value detects changes sooner"
    )
    reference_events: Annotated[int, Field(ge=50)] = Field(
        300, description="number of events per tenant and app in the reference"
    )
    min_users: Annotated[int, Field(ge=2, le=12)] = Field(
        5,
        description="minimum distinct users (without user ids: conversations) that must have written a word before an "
        "alert may name it; words of calls with neither id are never named",
    )


class EncoderSettings(_Section):
    """Settings of the encoder, a text classifier that reviews suspicious prompts; off without ``model_file``."""

    model_file: Path | None = Field(
        None, description="ONNX file of the model; None: off. Requires the extra `reviewers`"
    )
    tokenizer_file: Path | None = Field(None, description="tokenizer.json of the model")
    config_file: Path | None = Field(None, description="config.json of the model, with the names of its labels")
    label: str = Field("1", description="model output for an injection: its index, or its name in config_file")
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="divisor of the logits")
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="minimum probability of a positive label")
    max_tokens: Annotated[int, Field(ge=16)] = Field(512, description="tokens of one window")
    overlap_tokens: Annotated[int, Field(ge=0)] = Field(64, description="tokens that consecutive windows share")
    windows_max: Annotated[int, Field(ge=1)] = Field(16, description="maximum windows of one event, evenly spaced")
    threads: Annotated[int, Field(ge=1)] = Field(1, description="threads of the ONNX runtime")
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(0.35, description=_SUSPICIOUS)
    sampled_share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description=_SAMPLED)
    budget_per_hour: Annotated[int, Field(ge=0)] = Field(
        2000, description="maximum events reviewed per hour of event time"
    )
    feedback: bool = Field(False, description="also publish verdicts as labels, from which agents learn")


class JudgeSettings(_Section):
    """Settings of the LLM judge, which reviews suspicious events and labels them; off without ``url``."""

    url: str | None = Field(
        None,
        description="URL of an OpenAI-compatible API, for example https://host/v1; None: off. With a key, http:// is "
        "allowed for loopback addresses only",
    )
    key: SecretStr | None = Field(None, description="API key, sent as a bearer token")
    redact: bool = Field(
        True,
        description="replace e-mail addresses, telephone numbers, payment cards, IBANs and well-known key formats by "
        "placeholders such as [email] before a text is sent; requires the client package",
    )
    model: str = Field("", description="name of the model at the endpoint")
    requested: bool = Field(
        True, description="also review events whose labels the agents request (learning.requests_per_hour)"
    )
    signals: tuple[Literal["injection", "hallucination"], ...] = Field(
        ("injection", "hallucination"), description="signals that are reviewed"
    )
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(0.35, description=_SUSPICIOUS)
    sampled_share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description=_SAMPLED)
    budget_per_hour: Annotated[int, Field(ge=0)] = Field(100, description="maximum reviews per hour of event time")
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(4, description="maximum concurrent requests")
    timeout_s: Annotated[float, Field(gt=0)] = Field(30.0, description="maximum seconds of one request")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(3, description="maximum retries of a failed request")
    retry_max_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="maximum seconds between retries; a longer Retry-After ends the retries"
    )
    text_chars: Annotated[int, Field(ge=200)] = Field(
        12_000, description="maximum characters of an event that are sent to the judge"
    )
    answer_tokens: Annotated[int, Field(ge=16)] = Field(
        256, description="max_tokens of the answer; increase it for reasoning models"
    )
    answer_format: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="response_format that the endpoint supports: json_schema, json_object or none"
    )

    @model_validator(mode="after")
    def _check_url_and_key(self) -> JudgeSettings:
        key = self.key.get_secret_value() if self.key else ""
        if self.url:
            check_url(self.url, "reviewers.judge.url", key=bool(key))
        if not (key.isascii() and (key.isprintable() or not key)) or " " in key:
            raise ValueError(
                "reviewers.judge.key: contains a space, a line break or another character that HTTP headers do not "
                "allow; set the key alone"
            )
        return self


class ReviewersSettings(_Section):
    """Settings of the reviewers, slower models that review few events in a separate process; off by default."""

    group: str = Field("streamgauge-reviewers", description="prefix of the consumer groups: <group>-<reviewer>")
    encoder: EncoderSettings = EncoderSettings()
    judge: JudgeSettings = JudgeSettings()
    health_host: str = Field("127.0.0.1", description=_HEALTH_HOST)
    health_port: _Port = Field(6070, description=_HEALTH_PORT)
    drain_timeout_s: Annotated[float, Field(gt=0)] = Field(10.0, description=_DRAIN)


_Weight = Annotated[float, Field(ge=0, le=1)]


class LearningSettings(_Section):
    """Settings of learning from labels (docs/learning.md)."""

    annotator: _Weight = Field(1.0, description="weight of an annotator's label; 0: counted, not learned")
    judge: _Weight = Field(0.7, description="weight of an LLM judge's label; 0: counted, not learned")
    thumbs: _Weight = Field(0.5, description="weight of a thumbs-up or thumbs-down label; 0: counted, not learned")
    user: _Weight = Field(0.5, description="weight of a user's label; 0: counted, not learned")
    label_window_events: Annotated[int, Field(ge=1, le=100_000)] = Field(
        2048,
        description="recent events that can still be labelled, per partition and agent; in addition, half as many "
        "flagged events and half as many events with a requested label are kept",
    )
    labels_a_day: Annotated[int, Field(ge=1)] = Field(
        100,
        description="labels per annotator and day with full weight; beyond, the n-th label has the weight "
        "sqrt(labels_a_day / n)",
    )
    unverified_labels_a_day: Annotated[int, Field(ge=0)] = Field(
        200,
        description="maximum labels from thumbs and users that are learned, per tenant, app and day of event time, for "
        "all annotators together; 0: none",
    )
    unverified_limit: Annotated[float, Field(ge=0, le=6)] = Field(
        0.5,
        description="maximum change of a text's score by all labels from thumbs and users together, in log odds",
    )
    tenants: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="maximum tenants with tenant-specific weights, per partition"
    )
    versions: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="versions of the weights kept for rollback, per partition"
    )
    labels_per_version: Annotated[int, Field(ge=1)] = Field(
        50, description="number of learned labels between two versions of the weights"
    )
    requests_per_hour: Annotated[float, Field(ge=0)] = Field(
        20.0, description="label requests per tenant, app, partition and hour of event time; 0: none"
    )
    injection_weights: Path | None = Field(
        None,
        description="weights file of `streamgauge model export`; initial weights of the injection agent if there is no "
        "snapshot",
    )
    hallucination_weights: Path | None = Field(
        None,
        description="weights file of `streamgauge model export`; initial weights of the hallucination agent if there "
        "is no snapshot",
    )
    quality_labels: Annotated[int, Field(ge=1)] = Field(
        30, description="minimum labels of an app for alert metrics of live quality such as injection.precision"
    )


class CampaignSettings(_Section):
    """Settings of the campaign agent, which detects near-identical suspicious prompts from many users."""

    window_s: Annotated[int, Field(ge=60, le=604_800)] = Field(
        3600, description="seconds of event time that the prompts of a campaign span at most"
    )
    min_users: Annotated[int, Field(ge=2, le=256)] = Field(5, description="minimum distinct users of a campaign")
    min_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="minimum injection score of a campaign's prompts; 0.5: flagged prompts only"
    )
    max_clusters: Annotated[int, Field(ge=1, le=16_384)] = Field(
        1024, description="maximum clusters of similar prompts kept, per partition"
    )


KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]


class SecuritySettings(_Section):
    """Settings of the authentication of records that the monitor reads back from Kafka (docs/security.md)."""

    signing_keys: dict[KeyId, Annotated[SecretStr, Field(min_length=32)]] = Field(
        {},
        description="secrets of at least 32 characters by key id: `{k2: ..., k1: ...}`; JSON in the environment. The "
        "first key signs snapshots, model commands and forwarded labels; records without a signature of one of the "
        "keys are rejected. Empty: nothing is signed or checked",
    )


class PriceSettings(_Section):
    """Price of a model, in US dollars per million tokens."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="per million input tokens")
    cached: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="per million cached input tokens; None: as input"
    )
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="per million output tokens")

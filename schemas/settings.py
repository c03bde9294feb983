"""Every setting, in one frozen tree.

A YAML file (named by ``STREAMGAUGE_CONFIG``), then the environment (``STREAMGAUGE_KAFKA__BROKERS=...``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from schemas.errors import SettingsError
from schemas.files import read_yaml
from schemas.renamed import ENV_PREFIX, new_setting, renamed_variables
from schemas.urls import check_url


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kafka(_Part):
    """The broker."""

    brokers: str = Field("127.0.0.1:9092", description="host:port, comma-separated")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    topic_prefix: str = Field("llm", description="topics are <prefix>.events, <prefix>.alerts, ...")
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    session_timeout_s: Annotated[float, Field(ge=6)] = Field(
        10.0, description="a killed worker's partitions move after it"
    )
    heartbeat_s: Annotated[float, Field(gt=0)] = 2.0
    otlp: bool = Field(False, description="read OTLP from the two topics that an OpenTelemetry Collector writes")
    otlp_spans_topic: str = Field("otlp_spans", description="its name in full, without the prefix")
    otlp_logs_topic: str = Field("otlp_logs", description="its name in full, without the prefix")
    otlp_encoding: Literal["auto", "proto", "json"] = Field(
        "auto", description="otlp_proto or otlp_json of the Collector; auto: JSON where the first byte is a brace"
    )
    otlp_wait_for_logs: bool = Field(
        False, description="messages and answers come as log records: a span waits for them (worker.join_timeout_s)"
    )

    def topic(self, name: str) -> str:
        """Return the full name of a topic."""
        return f"{self.topic_prefix}.{name}"


class Worker(_Part):
    """The worker."""

    group: str = "streamgauge-worker"
    chunk_records: Annotated[int, Field(ge=1, le=10_000)] = Field(256, description="most records handled as one unit")
    snapshot_interval_s: Annotated[float, Field(gt=0)] = Field(5.0, description="how much is replayed after a crash")
    buffer_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        64 << 20, description="most bytes of records waiting in memory"
    )
    join_pending_max: Annotated[int, Field(ge=1)] = Field(
        10_000, description="halves waiting for the other, per partition"
    )
    join_timeout_s: Annotated[float, Field(gt=0)] = Field(600.0, description="event time a half waits for the other")
    allowed_skew_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        300.0,
        description="seconds an event may be dated ahead of the broker's time of its record, as hosts' clocks differ; "
        "beyond, it is scored, counted at the broker's time and marked `time_skew` (input_issues)",
    )
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 6066
    drain_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    dedup_window: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        50_000, description="events per partition among which one that comes again is judged once; 0: never looked"
    )
    snapshot_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 34)] = Field(
        256 << 20,
        description="largest state of a partition, in bytes unpacked, that is restored; a larger one is rejected",
    )
    shadow_file: Path | None = Field(
        None, description="YAML: rules, or settings of agents and alerts, that run in shadow (docs/shadow.md)"
    )


class Sink(_Part):
    """The writer into ClickHouse."""

    group: str = "streamgauge-sink"
    batch_rows: Annotated[int, Field(ge=1)] = 20_000
    linger_s: Annotated[float, Field(gt=0)] = Field(1.0, description="longest a row waits for its batch")
    retry_max_s: Annotated[float, Field(gt=0)] = Field(
        15.0, description="longest pause between tries while ClickHouse is away"
    )
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 6067


class Ingest(_Part):
    """The way in over HTTP: native events, feedback, OTLP."""

    host: str = Field("127.0.0.1", description="without keys_file only a loopback address is allowed")
    port: Annotated[int, Field(ge=0, le=65535)] = 6068
    keys_file: Path | None = Field(None, description="YAML with hashes of API keys; `streamgauge ingest-key create`")
    allow_anonymous: bool = Field(False, description="accept anyone without keys_file, on any address")
    tls_cert_file: Path | None = Field(None, description="PEM, with its chain; HTTPS where given")
    tls_key_file: Path | None = Field(None, description="PEM; may be in tls_cert_file")
    body_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 30)] = Field(
        16 << 20, description="most bytes of one body, unpacked; at most a quarter of in_flight_bytes"
    )
    body_events: Annotated[int, Field(ge=1)] = Field(10_000, description="most events of one body")
    in_flight_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        64 << 20,
        description="most bytes received and not yet written to Kafka; 503 beyond. One key may hold as much as "
        "stays free for the others: alone half of it",
    )
    requests_per_key: Annotated[int, Field(ge=1)] = Field(
        256, description="most requests of one key at once (without keys: of one address); 429 beyond"
    )
    connections: Annotated[int, Field(ge=1)] = Field(
        1024,
        description="most open connections, fewer where the process may open fewer files; beyond, the sender that has "
        "most of them loses the one that it used longest ago",
    )
    body_bytes_per_s: Annotated[float, Field(gt=0)] = Field(
        1024.0, description="slowest that a body may arrive, in bytes per second, but for pauses of body_stall_s; 408"
    )
    body_stall_s: Annotated[float, Field(gt=0)] = Field(10.0, description="longest pause in a body; 408")
    otlp_wait_for_logs: bool = Field(False, description="as kafka.otlp_wait_for_logs, of what comes over HTTP")
    read_timeout_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="longest the header of a request, or its body, may take to arrive"
    )
    write_timeout_s: Annotated[float, Field(gt=0)] = Field(
        10.0, description="longest wait for Kafka's acknowledgement; then 503"
    )
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 6069
    drain_timeout_s: Annotated[float, Field(gt=0)] = 15.0


class ClickHouse(_Part):
    """The store: a server, or the same engine in this process where ``path`` is given."""

    host: str = "127.0.0.1"
    port: int = 8123
    secure: bool = False
    username: str = "default"
    password: SecretStr = SecretStr("")
    database: str = "streamgauge"
    path: Path | None = Field(None, description="folder of an embedded engine (chDB); host and port are not used then")
    cluster: str | None = Field(None, description="ON CLUSTER name; tables become Replicated*")
    events_days: Annotated[int, Field(ge=1)] = 90
    alerts_days: Annotated[int, Field(ge=1)] = 730
    aggregates_days: Annotated[int, Field(ge=1)] = 730
    dead_letters_days: Annotated[int, Field(ge=1)] = 30
    feedback_days: Annotated[int, Field(ge=1)] = 730
    quality_days: Annotated[int, Field(ge=1)] = 730


class Aggregates(_Part):
    """One-minute windows."""

    lateness_s: Annotated[float, Field(ge=0)] = Field(
        120.0,
        description="event time a window stays open after its end, by the latest event of its tenant and app, never "
        "ahead of the broker's time; what comes later is scored, in no window, and counted (aggregates_late_total)",
    )
    flush_interval_s: Annotated[float, Field(gt=0)] = Field(2.0, description="how often open windows are published")


class Alerts(_Part):
    """Rules."""

    rules_file: Path | None = Field(
        None, description="YAML (docs/contracts/rules.md); the built-in rules where none is given"
    )


class Drift(_Part):
    """The drift agent."""

    events_per_false_alarm: Annotated[int, Field(ge=100)] = 10_000
    reference_events: Annotated[int, Field(ge=50)] = 300
    min_users: Annotated[int, Field(ge=2, le=12)] = Field(
        5,
        description="distinct users, or conversations where no user is given, who must have written a word before an "
        "alert may name it; words of calls with neither are not named",
    )


class Encoder(_Part):
    """A text classifier of the user's, for what the injection agent finds suspicious; off without ``model_file``."""

    model_file: Path | None = Field(None, description="ONNX; None: off. Needs the extra `reviewers`")
    tokenizer_file: Path | None = Field(None, description="tokenizer.json of the model")
    config_file: Path | None = Field(None, description="config.json of the model; names its labels")
    label: str = Field("1", description="the output that means injection: its index, or its name in config_file")
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="logits are divided by it")
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="probability from which the label is yes")
    max_tokens: Annotated[int, Field(ge=16)] = Field(512, description="of one window")
    overlap_tokens: Annotated[int, Field(ge=0)] = Field(64, description="that a window shares with the one before")
    windows_max: Annotated[int, Field(ge=1)] = Field(16, description="most windows of one event, evenly spaced")
    threads: Annotated[int, Field(ge=1)] = 1
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        0.35, description="suspicious is what has this score or a flag"
    )
    sampled_share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share of all other events")
    budget_per_hour: Annotated[int, Field(ge=0)] = Field(2000, description="most events of an hour of event time")
    feedback: bool = Field(False, description="its verdicts are labels too, and agents learn them")


class Judge(_Part):
    """A language model asked about what the agents find suspicious; its verdicts are labels. Off without ``url``."""

    url: str | None = Field(
        None,
        description="of an OpenAI-compatible API, for example https://host/v1; None: off. http:// with a key only on a "
        "loopback address",
    )
    key: SecretStr | None = None
    redact: bool = Field(
        True,
        description="e-mail addresses, telephone numbers, payment cards, IBANs and keys of well-known shapes in texts "
        "are replaced by [email] and the like before they are sent; needs the client package",
    )
    model: str = Field("", description="as the endpoint names it")
    requested: bool = Field(
        True, description="asked about events too whose labels the agents ask for (learning.requests_per_hour)"
    )
    signals: tuple[Literal["injection", "hallucination"], ...] = ("injection", "hallucination")
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        0.35, description="suspicious is what has this score or a flag"
    )
    sampled_share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share of all other events")
    budget_per_hour: Annotated[int, Field(ge=0)] = Field(100, description="most questions of an hour of event time")
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    timeout_s: Annotated[float, Field(gt=0)] = Field(30.0, description="of one try")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(3, description="after the first try")
    retry_max_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="longest pause between tries; a Retry-After beyond it ends them"
    )
    text_chars: Annotated[int, Field(ge=200)] = Field(12_000, description="most characters of an event that are sent")
    answer_tokens: Annotated[int, Field(ge=16)] = Field(256, description="max_tokens; more for models that reason")
    answer_format: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema", description="response_format; what the endpoint can"
    )

    @model_validator(mode="after")
    def _url_may_have_the_key(self) -> Judge:
        key = self.key.get_secret_value() if self.key else ""
        if self.url:
            check_url(self.url, "reviewers.judge.url", key=bool(key))
        if not (key.isascii() and (key.isprintable() or not key)) or " " in key:
            raise ValueError(
                "reviewers.judge.key: holds a space, a line end or other characters that no header may have"
            )
        return self


class Reviewers(_Part):
    """Slower second opinions on few events, in a process of their own; all off by default."""

    group: str = Field("streamgauge-reviewers", description="each reviewer's group is this with its name")
    encoder: Encoder = Encoder()
    judge: Judge = Judge()
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 6070
    drain_timeout_s: Annotated[float, Field(gt=0)] = 10.0


_Weight = Annotated[float, Field(ge=0, le=1)]


class Learning(_Part):
    """Learning from labels (docs/learning.md)."""

    annotator: _Weight = Field(1.0, description="weight of a label from this source; 0: counted, not learned")
    judge: _Weight = 0.7
    thumbs: _Weight = 0.5
    user: _Weight = 0.5
    label_window_events: Annotated[int, Field(ge=1, le=100_000)] = Field(
        2048, description="per partition and agent, latest events that can be labelled; half as many flagged, and asked"
    )
    labels_a_day: Annotated[int, Field(ge=1)] = Field(
        100, description="labels of one labeller that count in full; the n-th counts sqrt(labels_a_day / n)"
    )
    unverified_labels_a_day: Annotated[int, Field(ge=0)] = Field(
        200,
        description="labels from thumbs and users that count, per tenant, app and day of event time, whoever gives "
        "them; 0: none",
    )
    unverified_limit: Annotated[float, Field(ge=0, le=6)] = Field(
        0.5, description="most that all labels from thumbs and users move the score of a text, in log odds"
    )
    tenants: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="tenants with weights of their own, per partition"
    )
    versions: Annotated[int, Field(ge=1, le=64)] = Field(8, description="versions of the weights kept, per partition")
    labels_per_version: Annotated[int, Field(ge=1)] = 50
    requests_per_hour: Annotated[float, Field(ge=0)] = Field(
        20.0, description="labels asked for per tenant, app and partition, in an hour of event time; 0: none"
    )
    injection_weights: Path | None = Field(
        None, description="file of `streamgauge model export`; where there is no snapshot, the agent begins with it"
    )
    hallucination_weights: Path | None = Field(None, description="the same")
    quality_labels: Annotated[int, Field(ge=1)] = Field(
        30, description="labels of an app from which rules can look at injection.precision and the like"
    )


class Campaign(_Part):
    """The campaign agent: suspicious prompts of one wording from many users."""

    window_s: Annotated[int, Field(ge=60, le=604_800)] = Field(
        3600, description="event time within which the users must come"
    )
    min_users: Annotated[int, Field(ge=2, le=256)] = Field(5, description="users from which it is a campaign")
    min_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="injection score from which a prompt is looked at; .5 looks at flagged ones only"
    )
    max_clusters: Annotated[int, Field(ge=1, le=16_384)] = Field(1024, description="wordings kept, per partition")


KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]


class Security(_Part):
    """Authentication of what the monitor reads back from Kafka (docs/security.md)."""

    signing_keys: dict[KeyId, Annotated[SecretStr, Field(min_length=32)]] = Field(
        {},
        description="key id to secret of 32 characters or more: `{k2: ..., k1: ...}`; JSON in the environment. "
        "Snapshots, commands to models and forwarded labels are signed with the first key, and rejected unless one of "
        "the keys signed them; empty: nothing is signed, nothing is checked",
    )


class Price(_Part):
    """What a model costs, in US dollars per million tokens."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cached: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(None, description="None: as input")
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The tree."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    kafka: Kafka = Kafka()
    worker: Worker = Worker()
    sink: Sink = Sink()
    ingest: Ingest = Ingest()
    clickhouse: ClickHouse = ClickHouse()
    aggregates: Aggregates = Aggregates()
    alerts: Alerts = Alerts()
    drift: Drift = Drift()
    reviewers: Reviewers = Reviewers()
    learning: Learning = Learning()
    campaign: Campaign = Campaign()
    security: Security = Security()
    prices: dict[str, Price] = Field(
        {},
        description="by model, US dollars per million tokens, for calls that bring no cost_usd: "
        "`{gpt-x: {input: 1.25, cached: 0.125, output: 10}}`; JSON in the environment",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names them
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: arguments, environment, secrets, YAML."""
        sources = [init_settings, env_settings, file_secret_settings]
        if path := os.environ.get("STREAMGAUGE_CONFIG"):
            name = f"STREAMGAUGE_CONFIG={path}"
            found = read_yaml(Path(path), name)
            if not isinstance(found, dict | None):
                raise SettingsError(f"{name}: holds no settings; write them as `kafka: {{brokers: ...}}`")
            sources.append(InitSettingsSource(settings_cls, found or {}))
        return tuple(sources)


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting of a tree with the path of its names."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, here)
        else:
            yield here, field


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raise `SettingsError` naming the field and the remedy."""
    # pydantic-settings ignores a variable whose first name is no field: one of a renamed part would have no effect.
    if renamed := renamed_variables(os.environ):
        told = "; ".join(f"{old}: renamed to {new}" for old, new in sorted(renamed.items()))
        raise SettingsError(f"settings: {told}")
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("settings: " + "; ".join(map(_told, error.errors()))) from error
    except SourceError as error:
        raise SettingsError(f"settings: {error}; in the environment its value is JSON") from error


def _told(error: ErrorDetails) -> str:
    """Say what is wrong with a setting, and its value unless it may be a secret: a misspelt password is no password."""
    where = ".".join(map(str, error["loc"]))
    known = {".".join(path): field for path, field in leaves(Settings)}
    if error["type"] == "extra_forbidden":
        if new := new_setting(where):
            return f"{where}: renamed to {new}"
        near = get_close_matches(where, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"{where}: there is no such setting; {meant}docs/contracts/settings.md has all"
    # Of a whole part, or of what pydantic could not place, the value may hold a password.
    secret = where not in known or "SecretStr" in str(known[where].annotation)
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" + ("" if secret else f" (got {error['input']!r})")

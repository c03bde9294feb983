"""One LLM call as services publish it: whole, or as a request and a response half joined by ``call_id``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1


def _in_store_range(value: datetime) -> datetime:
    """Reject times ClickHouse's DateTime64(3) would wrap or clamp silently."""
    if not 1970 < value.year < 2200:
        raise ValueError("time must lie between 1971 and 2199; give an ISO 8601 time with its zone")
    return value.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_in_store_range)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=0, le=2**31 - 1)]
NAME_MAX, TAG_MAX, KEYS_MAX = 256, 1024, 128
"""Maximum characters of an identifier and of the value of a tag, maximum keys of a field that maps names. What is
longer is shortened where a record is decoded (`streams.runtime.identifiers`); only a tenant's and an app's name are
refused."""
SHORTENED: Final = "shortened"
"""Field of an event, unknown to the contract, that holds what was shortened: nothing is kept from the agents."""
Id = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Name = Annotated[str, Field(max_length=NAME_MAX)]
Fragment = Literal["span", "messages", "choices"]
InputIssue = Annotated[str, Field(min_length=1, max_length=64)]
"""Code of something that was repaired, shortened or out of range in an event (`INPUT_ISSUES`)."""
INPUT_ISSUES: dict[str, str] = {
    "control_characters": "over OTLP: so many control characters that the event was too large; they are spaces now",
    "event_truncated": "larger than what is taken or stored: texts or fields were shortened or left out",
    "identifier_shortened": f"an identifier was longer than {NAME_MAX} characters (a tag's value: {TAG_MAX}): its "
    "end is a hash now; the whole is in the field `shortened`",
    "keys_left_out": f"tags, groups or parameters had more than {KEYS_MAX} keys; the others are in the field "
    "`shortened`",
    "invalid_unicode": "a text of it was no valid Unicode (half of a surrogate pair, bytes that are no UTF-8); what "
    "was none is U+FFFD now",
    "truncated_json": "a message attribute held JSON that was cut; what stood before the cut is scored",
    "time_skew": "its time is further ahead of the broker's time of its record than worker.allowed_skew_s; it is "
    "counted at the broker's time, and moves no clock",
}
"""Every code that this version sets, with its meaning; an event with an issue is scored and kept."""
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Contract(BaseModel):
    """What all published models share: frozen, and fields from a newer version are kept, not lost."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), ser_json_inf_nan="null")


class ToolCall(Contract):
    """A tool the model asked for."""

    id: Name = ""
    name: Name
    arguments: str = Field("", description="JSON text, as the model wrote it")


class Message(Contract):
    """One message of the prompt."""

    role: Role
    content: str = ""
    name: Name | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: Name | None = Field(None, description="on role=tool: the call this is the result of")


class Document(Contract):
    """A passage retrieved for the prompt."""

    id: Name = ""
    text: str
    score: Finite | None = None
    source: str | None = None


class Choice(Contract):
    """One answer of the model."""

    content: str = ""
    finish_reason: Name | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    # One problem, not one for each of 200,000 tokens.
    logprobs: Annotated[tuple[Finite, ...], Field(fail_fast=True)] | None = Field(
        None, description="natural-log probability of each token"
    )


class Usage(Contract):
    """Token counts. Cached tokens are part of ``input_tokens``, reasoning tokens of ``output_tokens``."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cached_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0


class GuardVerdict(Contract):
    """What a guardrail of the service said of the call, before or after it; a signal beside ours."""

    name: str = Field(max_length=256)
    verdict: Literal["pass", "flag", "block", "error"] = Field(
        description="flag: found something and let it through, or changed it; error: the guardrail itself failed"
    )
    mode: Literal["pre", "post"] | None = Field(None, description="what it looked at: the prompt or the answer")
    score: Finite | None = None
    categories: tuple[Name, ...] = Field((), max_length=64, description="what it found, in its own words")
    latency_ms: Milliseconds | None = None
    provider: Name = ""


class CallError(Contract):
    """Why the call failed."""

    type: Name
    message: str = ""
    status: int | None = None


class LLMEvent(Contract):
    """An LLM call (``kind=call``), one half of it (``request``, ``response``), or some of its OpenTelemetry fragments.

    A ``fragment`` names in ``fragments`` what it brings: the span, the messages, the choices. They come in any
    order; the call is whole when its span and its choices are there.

    Examples
    --------
    >>> event = LLMEvent(event_id="e1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="triage",
    ...                  messages=[{"role": "user", "content": "hello"}])
    >>> event.prompt_version, event.text("user")
    ('', 'hello')
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    kind: Literal["call", "request", "response", "fragment"] = "call"
    fragments: tuple[Fragment, ...] = Field((), max_length=3, description="kind=fragment: what of the call this brings")
    event_id: Id
    call_id: Id
    time: Time = Field(description="when the call began (request, call) or ended (response)")
    tenant: Id
    app: Id
    environment: Name = "production"
    conversation_id: Name | None = None
    user_id: Name | None = None
    prompt_name: Name = ""
    prompt_version: Name = ""
    provider: Name = ""
    request_model: Name = ""
    response_model: Name = ""
    system_fingerprint: Name | None = None
    parameters: dict[Name, Any] = Field(
        default_factory=dict, max_length=KEYS_MAX, description="temperature, top_p, max_tokens, ..."
    )
    messages: tuple[Message, ...] = ()
    documents: tuple[Document, ...] = ()
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    cost_usd: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    latency_ms: Milliseconds | None = None
    ttft_ms: Milliseconds | None = Field(None, description="time to first token")
    error: CallError | None = None
    guardrails: tuple[GuardVerdict, ...] = Field((), max_length=64, description="verdicts of the service's guardrails")
    groups: dict[Name, Name] = Field(
        default_factory=dict, max_length=KEYS_MAX, description="declared groups, for disparity checks"
    )
    tags: dict[Name, Annotated[str, Field(max_length=TAG_MAX)]] = Field(
        default_factory=dict, max_length=KEYS_MAX, description="the service's own tags"
    )
    input_issues: tuple[InputIssue, ...] = Field(
        (), max_length=32, description="codes of what streamgauge repaired, shortened or found out of range"
    )

    @model_validator(mode="after")
    def _halves_carry_their_half(self) -> LLMEvent:
        if self.kind == "request" and self.choices:
            raise ValueError("choices: a request half has none; publish kind=call or a response half")
        if (self.kind == "fragment") != bool(self.fragments):
            raise ValueError("fragments: goes with kind=fragment, which needs it, for example fragments: [span]")
        return self

    def with_issue(self, *codes: str) -> LLMEvent:
        """Return this event with codes of `INPUT_ISSUES` added; the same object where it has them all.

        Examples
        --------
        >>> event = LLMEvent(event_id="e1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="triage")
        >>> event.with_issue("time_skew", "time_skew").input_issues
        ('time_skew',)
        """
        issues = merged_issues(self.input_issues, codes)
        return self if issues == self.input_issues else self.model_copy(update={"input_issues": issues})

    def text(self, role: str) -> str:
        """All text of one role, joined by newlines; ``response`` is the first choice, ``document`` the retrieved."""
        if role == "response":
            return self.choices[0].content if self.choices else ""
        if role == "document":
            return "\n".join(d.text for d in self.documents)
        return "\n".join(m.content for m in self.messages if m.role == role)


def merged_issues(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of both without duplicates, in order of appearance, at most 32."""
    return tuple(dict.fromkeys((*first, *second)))[:32]

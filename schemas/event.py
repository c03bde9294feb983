"""The event contract: an LLM call, published whole or as a request and a response half joined by ``call_id``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1


def _in_store_range(value: datetime) -> datetime:
    """Reject times that ClickHouse's DateTime64(3) would wrap or clamp silently."""
    if not 1970 < value.year < 2200:
        raise ValueError("time must lie between 1971 and 2199; send an ISO 8601 time with its time zone")
    return value.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_in_store_range)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=0, le=2**31 - 1)]
NAME_MAX, TAG_MAX, KEYS_MAX = 256, 1024, 128
"""Maximum characters of an identifier and of a tag's value, and maximum keys of a mapping field. The decoder shortens
longer values (`streams.runtime.identifiers`), except names of tenants and apps, which it rejects."""
SHORTENED: Final = "shortened"
"""Field of an event, outside the contract, with the original of each shortened value, so that agents see all text."""
Id = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Name = Annotated[str, Field(max_length=NAME_MAX)]
Fragment = Literal["span", "messages", "choices"]
InputIssue = Annotated[str, Field(min_length=1, max_length=64)]
"""Code for a value of an event that was repaired, shortened or out of range (`INPUT_ISSUES`)."""
INPUT_ISSUES: dict[str, str] = {
    "control_characters": "OTLP: control characters made the event too large; they were replaced by spaces",
    "event_truncated": "the event was larger than the size limit: texts or fields were shortened or left out",
    "identifier_shortened": f"an identifier was longer than {NAME_MAX} characters (a tag's value: {TAG_MAX}): a hash "
    "replaces its end; the original is in the field `shortened`",
    "keys_left_out": f"tags, groups or parameters had more than {KEYS_MAX} keys; the remaining keys are in the field "
    "`shortened`",
    "invalid_unicode": "a text was not valid Unicode (half of a surrogate pair, or invalid UTF-8); U+FFFD replaces the "
    "invalid characters",
    "truncated_json": "a message attribute held truncated JSON; the content before the cut is scored",
    "time_skew": "the event's time is more than worker.allowed_skew_s ahead of its record's broker time; the event is "
    "counted at the broker's time and does not advance the watermark",
}
"""All codes that this version sets, with their meaning; an event with an issue is scored and stored."""
Role = Literal["system", "developer", "user", "assistant", "tool"]


class Contract(BaseModel):
    """Base class of all published models: frozen, and unknown fields of newer versions are preserved."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), ser_json_inf_nan="null")


class ToolCall(Contract):
    """A tool call that the model requested."""

    id: Name = ""
    name: Name
    arguments: str = Field("", description="JSON text, exactly as the model wrote it")


class Message(Contract):
    """One message of the prompt."""

    role: Role
    content: str = ""
    name: Name | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: Name | None = Field(
        None, description="role=tool only: id of the tool call that this is the result of"
    )


class Document(Contract):
    """A passage retrieved for the prompt."""

    id: Name = ""
    text: str
    score: Finite | None = None
    source: str | None = None


class Choice(Contract):
    """One response of the model."""

    content: str = ""
    finish_reason: Name | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    # fail_fast: one error instead of up to 200,000, one per token.
    logprobs: Annotated[tuple[Finite, ...], Field(fail_fast=True)] | None = Field(
        None, description="natural-log probability of each token"
    )


class Usage(Contract):
    """Token counts; ``input_tokens`` includes cached tokens, ``output_tokens`` includes reasoning tokens."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cached_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0


class GuardVerdict(Contract):
    """Verdict of a guardrail of the service on the prompt or the response; scored as an additional signal."""

    name: str = Field(max_length=256)
    verdict: Literal["pass", "flag", "block", "error"] = Field(
        description="flag: found something and let the call pass, or changed it; error: the guardrail itself failed"
    )
    mode: Literal["pre", "post"] | None = Field(
        None, description="pre: the guardrail checked the prompt; post: the response"
    )
    score: Finite | None = None
    categories: tuple[Name, ...] = Field(
        (), max_length=64, description="categories that the guardrail reported, in its own terms"
    )
    latency_ms: Milliseconds | None = None
    provider: Name = ""


class CallError(Contract):
    """Error of a failed call."""

    type: Name
    message: str = ""
    status: int | None = None


class LLMEvent(Contract):
    """An LLM call (``kind=call``), one half of a call (``request``, ``response``), or an OpenTelemetry ``fragment``.

    The field ``fragments`` lists the content of a fragment: the span, the messages, the choices. Fragments arrive in
    any order; the call is complete when its span and its choices have arrived.

    Examples
    --------
    >>> event = LLMEvent(event_id="e1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="triage",
    ...                  messages=[{"role": "user", "content": "hello"}])
    >>> event.prompt_version, event.text("user")
    ('', 'hello')
    """

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    kind: Literal["call", "request", "response", "fragment"] = "call"
    fragments: tuple[Fragment, ...] = Field(
        (), max_length=3, description="kind=fragment only: content of this fragment"
    )
    event_id: Id
    call_id: Id
    time: Time = Field(description="start of the call (request, call) or its end (response)")
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
        (), max_length=32, description="codes for values that streamgauge repaired, shortened or found out of range"
    )

    @model_validator(mode="after")
    def _check_kind(self) -> LLMEvent:
        if self.kind == "request" and self.choices:
            raise ValueError("choices: not allowed in a request half; publish kind=call or a response half")
        if (self.kind == "fragment") != bool(self.fragments):
            raise ValueError(
                "fragments: required with kind=fragment and only allowed with it; set fragments, for example [span]"
            )
        return self

    def with_issue(self, *codes: str) -> LLMEvent:
        """Return this event with codes of `INPUT_ISSUES` added; the same object if it already has all of them.

        Examples
        --------
        >>> event = LLMEvent(event_id="e1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="triage")
        >>> event.with_issue("time_skew", "time_skew").input_issues
        ('time_skew',)
        """
        issues = merged_issues(self.input_issues, codes)
        return self if issues == self.input_issues else self.model_copy(update={"input_issues": issues})

    def text(self, role: str) -> str:
        """Return all text of one role, joined by newlines.

        ``response`` is the text of the first choice, ``document`` the text of the retrieved documents.
        """
        if role == "response":
            return self.choices[0].content if self.choices else ""
        if role == "document":
            return "\n".join(d.text for d in self.documents)
        return "\n".join(m.content for m in self.messages if m.role == role)


def merged_issues(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    """Return the codes of both without duplicates, in order of appearance, at most 32."""
    return tuple(dict.fromkeys((*first, *second)))[:32]

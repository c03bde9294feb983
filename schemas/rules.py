"""The contract of alert rules, written in YAML."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from schemas.errors import SettingsCode, SettingsError
from schemas.files import read_yaml
from schemas.renamed import RULE_FIELDS

Severity = Literal["info", "warning", "critical"]


class Rule(BaseModel):
    """An alert rule: the condition to fire and the condition to resolve.

    Examples
    --------
    >>> Rule(name="slow", metric="latency_ms", type="quantile", q=0.95, threshold=5000, window_s=300).min_events
    20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="unique name of lower-case letters, digits, - and _"
    )
    severity: Severity = Field("warning", description="info, warning or critical")
    description: str = Field("", description="explanation for the person who reads the alert")
    type: Literal["event", "count", "rate", "quantile", "change"] = Field(
        description="event: value of one event; count: events of a window with a value above 0; rate: their share of "
        "all events; quantile: q-quantile of a window; change: change point that an agent detected"
    )
    metric: str = Field(
        description="injection.score, hallucination.score, injection.flag, hallucination.flag, guardrail.flag, "
        "campaign.flag, campaign.members, campaign.users, error, refusal, latency_ms, ttft_ms, cost_usd, "
        "input_tokens, output_tokens; type: change: a signal such as drift.text, drift.*, injection.rate, "
        "guardrail.rate, campaign.prompts, or label quality such as injection.precision (also recall, auc, calibration)"
    )
    threshold: float = Field(0.0, description="the rule fires when the value is greater")
    below: float | None = Field(
        None, description="type: change only; the rule fires when the level after the change is less"
    )
    resolve_threshold: float | None = Field(
        None, description="hysteresis: the alert resolves when the value is not greater; default 0.8 * threshold"
    )
    q: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="type: quantile only; the quantile, for example 0.95"
    )
    window_s: Annotated[int, Field(ge=10, le=86_400)] = Field(
        300,
        description="seconds of event time of the window; event and change: seconds without new evidence after which "
        "the alert resolves",
    )
    min_events: Annotated[int, Field(ge=1)] = Field(
        20, description="count, rate and quantile: minimum events of a window that may fire"
    )
    cooldown_s: Annotated[int, Field(ge=0)] = Field(
        300, description="minimum seconds of event time between a resolved alert and the next firing"
    )
    app: str = Field("*", description="name of an app; * for all")
    exclude: tuple[str, ...] = Field(
        (), description="type: change only; signals that metric matches but the rule ignores, with * as in metric"
    )

    @model_validator(mode="after")
    def _check_change_fields(self) -> Rule:
        if self.below is not None and self.type != "change":
            raise ValueError("below: only allowed with type=change; use threshold")
        if self.exclude and self.type != "change":
            raise ValueError("exclude: only allowed with type=change; remove it")
        return self

    @model_validator(mode="after")
    def _check_quantile(self) -> Rule:
        if (self.type == "quantile") != (self.q is not None):
            raise ValueError("q: required with type=quantile and only allowed with it, for example q: 0.95")
        return self


class RuleSet(BaseModel):
    """A rules file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> RuleSet:
        names = [r.name for r in self.rules]
        if repeated := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"several rules are named {', '.join(sorted(repeated))}; use unique names")
        return self


DEFAULT_RULES = Path(__file__).with_name("default_rules.yaml")


def load_rules(path: Path = DEFAULT_RULES) -> RuleSet:
    """Read a rules file; raise `SettingsError` with the file, the rule, the field and the remedy."""
    name = f"rules file {path} (alerts.rules_file)"
    content = read_yaml(path, name) or {}
    try:
        return RuleSet.model_validate(content)
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        problems = "; ".join(_describe(e, content) for e in unknown_first)
        field, code, suggestion = _classify(unknown_first[0])
        raise SettingsError(
            f"{name}: {problems}; see docs/contracts/rules.md for all fields",
            field,
            code,
            path=path,
            suggestion=suggestion,
        ) from error


def _classify(error: ErrorDetails) -> tuple[str, SettingsCode, str]:
    """Return field, code and suggestion of an error in a rule."""
    field = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        if name in RULE_FIELDS:
            return field, "renamed", RULE_FIELDS[name]
        near = get_close_matches(name, Rule.model_fields, n=1)
        return field, "unknown", near[0] if near else ""
    return field, "missing" if error["type"] == "missing" else "invalid", ""


def _describe(error: ErrorDetails, content: Any) -> str:
    """Return one line with the rule, the field and the problem."""
    match error["loc"]:
        case ("rules", int(n), *field) if isinstance(content["rules"][n], dict):
            where = f"rule {content['rules'][n].get('name', n + 1)}: {'.'.join(map(str, field))}".removesuffix(": ")
        case loc:
            where = ".".join(map(str, loc)) or "the file"
    if error["type"] == "extra_forbidden":
        old = str(error["loc"][-1])
        if new := RULE_FIELDS.get(old):
            return f"{where}: renamed to {new}"
        near = get_close_matches(old, Rule.model_fields, n=1)
        return f"{where}: unknown field" + (f"; did you mean {near[0]}?" if near else "")
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"

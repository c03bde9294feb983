"""Alert rules as the user writes them in YAML."""

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
    """When to raise an alert, and when to let it go.

    Examples
    --------
    >>> Rule(name="slow", metric="latency_ms", type="quantile", q=0.95, threshold=5000, window_s=300).min_events
    20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="small letters, digits, - and _; each its own")
    severity: Severity = Field("warning", description="info, warning or critical")
    description: str = Field("", description="for whoever reads the alert")
    type: Literal["event", "count", "rate", "quantile", "change"] = Field(
        description="event: one event's value; count, rate: events of a window with a value above 0, their share; "
        "quantile: of a window; change: what an agent found moved"
    )
    metric: str = Field(
        description="injection.score, hallucination.score, injection.flag, hallucination.flag, guardrail.flag, "
        "campaign.flag, campaign.members, campaign.users, error, refusal, latency_ms, ttft_ms, cost_usd, "
        "input_tokens, output_tokens; for change a signal such as drift.text, drift.*, injection.rate, guardrail.rate, "
        "campaign.prompts, "
        "injection.precision (recall, auc, calibration; of labels)"
    )
    threshold: float = Field(0.0, description="fires when the value is greater")
    below: float | None = Field(None, description="type: change only; fires when the level after the change is less")
    resolve_threshold: float | None = Field(
        None, description="hysteresis: resolves when not greater; default 0.8 * threshold"
    )
    q: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="type: quantile only, for example 0.95")
    window_s: Annotated[int, Field(ge=10, le=86_400)] = Field(
        300, description="event time of the window; of event and change: how long after the last finding it resolves"
    )
    min_events: Annotated[int, Field(ge=1)] = Field(
        20, description="count, rate and quantile: fewest events of the window from which it may fire"
    )
    cooldown_s: Annotated[int, Field(ge=0)] = Field(300, description="event time from resolved to the next firing")
    app: str = Field("*", description="an app's name, or * for all")
    exclude: tuple[str, ...] = Field(
        (), description="type: change only; signals that metric matches and this rule leaves to another, * as in metric"
    )

    @model_validator(mode="after")
    def _below_goes_with_change(self) -> Rule:
        if self.below is not None and self.type != "change":
            raise ValueError("below goes with type=change, for example of injection.precision; use threshold")
        if self.exclude and self.type != "change":
            raise ValueError("exclude goes with type=change, whose metric may match many signals; leave it out")
        return self

    @model_validator(mode="after")
    def _quantile_has_q(self) -> Rule:
        if (self.type == "quantile") != (self.q is not None):
            raise ValueError("q goes with type=quantile, and type=quantile needs q, for example q: 0.95")
        return self


class RuleSet(BaseModel):
    """A rules file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> RuleSet:
        names = [r.name for r in self.rules]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"two rules have the name {sorted(twice)}; give each its own")
        return self


DEFAULT_RULES = Path(__file__).with_name("default_rules.yaml")


def load_rules(path: Path = DEFAULT_RULES) -> RuleSet:
    """Read rules; raise `SettingsError` naming file, rule, field and remedy."""
    name = f"rules file {path} (alerts.rules_file)"
    found = read_yaml(path, name) or {}
    try:
        return RuleSet.model_validate(found)
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        told = "; ".join(_told(e, found) for e in unknown_first)
        field, code, suggestion = _at_fault(unknown_first[0])
        raise SettingsError(
            f"{name}: {told}; docs/contracts/rules.md has all fields", field, code, path=path, suggestion=suggestion
        ) from error


def _at_fault(error: ErrorDetails) -> tuple[str, SettingsCode, str]:
    """Return field, code and suggestion of what is wrong with a rule."""
    field = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        if name in RULE_FIELDS:
            return field, "renamed", RULE_FIELDS[name]
        near = get_close_matches(name, Rule.model_fields, n=1)
        return field, "unknown", near[0] if near else ""
    return field, "missing" if error["type"] == "missing" else "invalid", ""


def _told(error: ErrorDetails, found: Any) -> str:
    """Say what is wrong with which rule."""
    match error["loc"]:
        case ("rules", int(n), *field) if isinstance(found["rules"][n], dict):
            where = f"rule {found['rules'][n].get('name', n + 1)}: {'.'.join(map(str, field))}".removesuffix(": ")
        case loc:
            where = ".".join(map(str, loc)) or "the file"
    if error["type"] == "extra_forbidden":
        old = str(error["loc"][-1])
        if new := RULE_FIELDS.get(old):
            return f"{where}: renamed to {new}"
        near = get_close_matches(old, Rule.model_fields, n=1)
        return f"{where}: there is no such field" + (f"; did you mean {near[0]}?" if near else "")
    return f"{where}: {error['msg']}"

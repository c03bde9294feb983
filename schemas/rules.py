"""Alert rules as the user writes them in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import SettingsError

Severity = Literal["info", "warning", "critical"]


class Rule(BaseModel):
    """When to raise an alert, and when to let it go.

    Examples
    --------
    >>> Rule(name="slow", metric="latency_ms", over="quantile", q=0.95, above=5000, window_s=300).min_events
    20
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    severity: Severity = "warning"
    description: str = ""
    over: Literal["event", "count", "rate", "quantile", "change"] = Field(
        description="event: one event's value; count, rate, quantile: of a window; change: what an agent found moved"
    )
    metric: str = Field(
        description="injection.score, hallucination.score, injection.flag, hallucination.flag, guardrail.flag, "
        "campaign.flag, campaign.members, campaign.users, error, refusal, latency_ms, ttft_ms, cost_usd, "
        "output_tokens; for change a signal such as drift.text, drift.*, injection.rate, guardrail.rate, "
        "campaign.prompts, "
        "injection.precision (recall, auc, calibration; of labels)"
    )
    above: float = Field(0.0, description="fires when the value is greater")
    below: float | None = Field(None, description="over: change only; fires when the level after the change is less")
    resolve_below: float | None = Field(None, description="hysteresis: resolves when not greater; default 0.8 * above")
    q: Annotated[float, Field(gt=0, lt=1)] | None = None
    window_s: Annotated[int, Field(ge=10, le=86_400)] = 300
    min_events: Annotated[int, Field(ge=1)] = 20
    cooldown_s: Annotated[int, Field(ge=0)] = Field(300, description="event time from resolved to the next firing")
    app: str = Field("*", description="an app's name, or * for all")

    @model_validator(mode="after")
    def _below_goes_with_change(self) -> Rule:
        if self.below is not None and self.over != "change":
            raise ValueError("below goes with over=change, for example of injection.precision; take above")
        return self

    @model_validator(mode="after")
    def _quantile_has_q(self) -> Rule:
        if (self.over == "quantile") != (self.q is not None):
            raise ValueError("q goes with over=quantile, and over=quantile needs q, for example q: 0.95")
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
    """Read rules; raise `SettingsError` naming file, field and remedy."""
    try:
        return RuleSet.model_validate(yaml.safe_load(path.read_text()) or {})
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"rules file {path}: {told}") from error
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"rules file {path} (alerts.rules_file): {error}") from error

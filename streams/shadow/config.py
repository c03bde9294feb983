"""What runs in the shadow: which agents are run a second time, under which settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SettingsError
from schemas.rules import DEFAULT_RULES, RuleSet, load_rules
from schemas.settings import Settings
from streams.runtime.registry import agents_that_differ, build_agents, weights_of
from streams.runtime.settings_override import load_variant

_NO_AGENTS = frozenset({"alerts", "learning"})
"""Parts that say how a whole call is judged, and are no agent's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A second version, read once when the worker starts.

    Attributes
    ----------
    name
        The file's name without its ending; the label of all that the shadow says.
    settings
        The settings with what the file says otherwise.
    rules
        Its rules.
    second
        Agents that are run a second time; of the others the shadow takes what the first said.
    mark
        Hash of all that; a state kept under another mark does not fit.
    """

    name: str
    settings: Settings
    rules: RuleSet
    second: frozenset[str]
    mark: str


def plan_of(settings: Settings) -> Plan | None:
    """Read ``worker.shadow_file``; None where none is set.

    Raises
    ------
    SettingsError
        If the file is wrong, or asks for what a shadow cannot have: other topics, another join.
    """
    path = settings.worker.shadow_file
    if path is None:
        return None
    other = load_variant(path, settings, f"worker.shadow_file={path}")
    may_differ = _may_differ(settings)
    names = type(settings).model_fields
    if beyond := sorted(n for n in names if n not in may_differ and getattr(other, n) != getattr(settings, n)):
        raise SettingsError(
            f"worker.shadow_file={path}: it differs in {', '.join(beyond)}; a shadow may differ in "
            f"{', '.join(may_differ)}; compare the rest on history: streamgauge replay --diff",
            "worker.shadow_file",
            "conflict",
            path=path,
        )
    rules = load_rules(other.alerts.rules_file or DEFAULT_RULES)
    return Plan(path.stem, other, rules, agents_that_differ(settings, other), _mark(path, other, rules))


def _may_differ(settings: Settings) -> list[str]:
    """Return the parts that say how a whole call is judged. What comes before that, the shadow shares."""
    agents = {agent.name for agent in build_agents(settings)}
    return sorted({*_NO_AGENTS, *agents} & set(type(settings).model_fields))


def _mark(path: Path, settings: Settings, rules: RuleSet) -> str:
    judged_by = [getattr(settings, name).model_dump_json() for name in _may_differ(settings)]
    text = "\x1f".join([path.stem, *judged_by, rules.model_dump_json()])
    digest = hashlib.blake2b(text.encode(), digest_size=6)
    for weights in weights_of(settings):
        digest.update(weights.read_bytes())
    return digest.hexdigest()

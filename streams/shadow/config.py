"""Configuration of the shadow: its settings, its rules, and the agents that differ."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SettingsError
from schemas.rules import DEFAULT_RULES, RuleSet, load_rules
from schemas.settings import Settings
from streams.runtime.registry import build_agents, differing_agents, initial_weights_files
from streams.runtime.settings_override import load_override

_SHARED_SETTINGS = frozenset({"alerts", "learning"})
"""Parts of the settings that affect scoring and belong to no single agent."""


@dataclass(frozen=True, slots=True)
class ShadowConfig:
    """Second version of the settings, read once at the start of the worker.

    Attributes
    ----------
    name
        Name of the shadow file without its suffix; labels all findings.
    settings
        Primary settings with the overrides of the file.
    rules
        Rules of the shadow.
    rerun_agents
        Agents that the shadow runs again; it reuses the primary's signals of all other agents.
    config_hash
        Hash of the configuration; state saved under another hash is discarded.
    """

    name: str
    settings: Settings
    rules: RuleSet
    rerun_agents: frozenset[str]
    config_hash: str


def load_shadow_config(settings: Settings) -> ShadowConfig | None:
    """Read ``worker.shadow_file``; return None if the setting is empty.

    Raises
    ------
    SettingsError
        If the file is invalid, or overrides a setting that a shadow shares, such as topics or the join.
    """
    path = settings.worker.shadow_file
    if path is None:
        return None
    override = load_override(path, settings, f"worker.shadow_file={path}")
    overridable = _overridable_settings(settings)
    names = type(settings).model_fields
    if refused := sorted(n for n in names if n not in overridable and getattr(override, n) != getattr(settings, n)):
        raise SettingsError(
            f"worker.shadow_file={path}: overrides {', '.join(refused)}; a shadow can override "
            f"{', '.join(overridable)}; compare other settings on recorded events with: streamgauge replay --diff",
            "worker.shadow_file",
            "conflict",
            path=path,
        )
    rules = load_rules(override.alerts.rules_file or DEFAULT_RULES)
    agents = differing_agents(settings, override)
    return ShadowConfig(path.stem, override, rules, agents, _config_hash(path, override, rules))


def _overridable_settings(settings: Settings) -> list[str]:
    """Return the parts of the settings that affect scoring; the shadow shares the stages before scoring."""
    agents = {agent.name for agent in build_agents(settings)}
    return sorted({*_SHARED_SETTINGS, *agents} & set(type(settings).model_fields))


def _config_hash(path: Path, settings: Settings, rules: RuleSet) -> str:
    scoring = [getattr(settings, name).model_dump_json() for name in _overridable_settings(settings)]
    text = "\x1f".join([path.stem, *scoring, rules.model_dump_json()])
    digest = hashlib.blake2b(text.encode(), digest_size=6)
    for weights in initial_weights_files(settings):
        digest.update(weights.read_bytes())
    return digest.hexdigest()

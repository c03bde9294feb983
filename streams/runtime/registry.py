"""Registry: build agents and pipelines from the settings, for the worker, replay and tests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from agents.base import Agent
from agents.campaign import CampaignAgent, CampaignConfig
from agents.drift import DriftAgent, DriftConfig
from agents.guardrail import GuardrailAgent
from agents.hallucination import HallucinationAgent
from agents.injection import InjectionAgent
from agents.learning import LearningConfig
from processing.pipeline import PartitionPipeline
from processing.pricing import Price
from schemas.errors import SettingsError
from schemas.files import read_json, setting_of
from schemas.learning import ModelCommand, WeightsFile
from schemas.rules import DEFAULT_RULES, load_rules
from schemas.setting_sections import LearningSettings, PriceSettings
from schemas.settings import Settings

CORE_VERSIONS = {"aggregates": 4, "alerts": 4, "join": 5, "repeats": 2, "commands": 1, "watermarks": 1}
"""State versions of the components that are not agents."""
_WEIGHTS_SETTINGS = {InjectionAgent.name: "injection_weights", HallucinationAgent.name: "hallucination_weights"}
"""Learning setting that names the file of initial weights, by trainable agent."""
LearningAgent = TypeVar("LearningAgent", InjectionAgent, HallucinationAgent)


def build_agents(settings: Settings, only: Collection[str] | None = None) -> list[Agent]:
    """Return new agents; ``only`` restricts them by name."""
    learning = learning_config(settings.learning)
    factories: dict[str, Callable[[], Agent]] = {
        InjectionAgent.name: lambda: with_initial_weights(
            InjectionAgent(learning=learning), settings.learning.injection_weights
        ),
        HallucinationAgent.name: lambda: with_initial_weights(
            HallucinationAgent(learning=learning), settings.learning.hallucination_weights
        ),
        DriftAgent.name: lambda: DriftAgent(_drift(settings)),
        GuardrailAgent.name: GuardrailAgent,
        CampaignAgent.name: lambda: CampaignAgent(_campaign(settings)),
    }
    return [make() for name, make in factories.items() if only is None or name in only]


def differing_agents(base: Settings, variant: Settings) -> frozenset[str]:
    """Return the names of the agents that two settings configure differently, and of the agents that depend on them."""
    differ: set[str] = set()
    for agent in build_agents(variant):
        config_differs = _config_of(base, agent.name) != _config_of(variant, agent.name)
        if config_differs or differ.intersection(getattr(agent, "requires", ())):
            differ.add(agent.name)
    return frozenset(differ)


def _drift(settings: Settings) -> DriftConfig:
    return DriftConfig(
        events_per_false_alarm=settings.drift.events_per_false_alarm,
        reference_events=settings.drift.reference_events,
        min_users=settings.drift.min_users,
    )


def _campaign(settings: Settings) -> CampaignConfig:
    return CampaignConfig(
        window_ms=settings.campaign.window_s * 1000,
        min_users=settings.campaign.min_users,
        min_score=settings.campaign.min_score,
        max_clusters=settings.campaign.max_clusters,
    )


def learning_config(learning: LearningSettings) -> LearningConfig:
    """Return the learning settings as the agents' configuration."""
    return LearningConfig(**learning.model_dump(exclude={*_WEIGHTS_SETTINGS.values()}))


def with_initial_weights(agent: LearningAgent, path: Path | None) -> LearningAgent:
    """Load the initial weights of a new agent from a file written by ``streamgauge model export``.

    Raises
    ------
    SettingsError
        If the weights are damaged, or belong to another agent or release.
    """
    if path is None:
        return agent
    setting = f"learning.{_WEIGHTS_SETTINGS[agent.name]}={path}"
    file = read_json(path, setting, WeightsFile, "give a file written by `streamgauge model export`")
    command = ModelCommand(
        command_id=path.name[:256],
        time=file.created_at,
        action="import",
        signal=file.signal,
        version=file.version,
        weights=file,
    )
    if not agent.learner.apply_command(command):
        raise SettingsError(
            f"{setting}: damaged, or of another agent or release; export the weights again",
            setting_of(setting),
            "malformed",
            path=path,
        )
    return agent


def initial_weights_files(settings: Settings) -> list[Path]:
    """Return the files with initial weights."""
    paths = [getattr(settings.learning, setting) for setting in _WEIGHTS_SETTINGS.values()]
    return [path for path in paths if path is not None]


def _config_of(settings: Settings, name: str) -> tuple[object, ...]:
    """Return the settings that configure an agent: its own part, and for a trainable agent the learning settings."""
    config = getattr(settings, name, None)
    if name not in _WEIGHTS_SETTINGS:
        return (config,)
    return (config, learning_config(settings.learning), getattr(settings.learning, _WEIGHTS_SETTINGS[name]))


def build_pipeline(
    partition: int, settings: Settings, timed: Callable[[str], AbstractContextManager[object]] = nullcontext
) -> PartitionPipeline:
    """Return a new pipeline for a source partition."""
    return PartitionPipeline(
        partition,
        build_agents(settings),
        load_rules(settings.alerts.rules_file or DEFAULT_RULES),
        lateness_ms=int(settings.aggregates.lateness_s * 1000),
        allowed_skew_ms=int(settings.worker.allowed_skew_s * 1000),
        join_pending_max=settings.worker.join_pending_max,
        join_timeout_ms=int(settings.worker.join_timeout_s * 1000),
        dedup_window=settings.worker.dedup_window,
        prices={model: _price(price) for model, price in settings.prices.items()},
        timed=timed,
    )


def _price(price: PriceSettings) -> Price:
    return Price(price.input, price.input if price.cached is None else price.cached, price.output)


def state_versions(pipeline: PartitionPipeline) -> dict[str, int]:
    """Return the version of each component of the state."""
    return {**CORE_VERSIONS, **{agent.name: agent.version for agent in pipeline.agents}}

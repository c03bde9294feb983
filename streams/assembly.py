"""Which agents a pipeline has, from the settings: the one place for worker, replay and tests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext

from agents.base import Agent
from agents.drift import DriftAgent, DriftConfig
from agents.guardrail import GuardrailAgent
from agents.hallucination import HallucinationAgent
from agents.injection import InjectionAgent
from agents.pipeline import Pipeline
from schemas.rules import DEFAULT_RULES, load_rules
from schemas.settings import Settings

CORE_VERSIONS = {"aggregates": 3, "alerts": 3, "join": 3, "repeats": 1}
"""Versions of the states of what is no agent."""


def build_agents(settings: Settings, only: Collection[str] | None = None) -> list[Agent]:
    """Return fresh agents; where ``only`` is given, those of these names."""
    factories: dict[str, Callable[[], Agent]] = {
        InjectionAgent.name: InjectionAgent,
        HallucinationAgent.name: HallucinationAgent,
        DriftAgent.name: lambda: DriftAgent(_drift(settings)),
        GuardrailAgent.name: GuardrailAgent,
    }
    return [make() for name, make in factories.items() if only is None or name in only]


def agents_that_differ(one: Settings, other: Settings) -> frozenset[str]:
    """Return the names of the agents that two settings do not build alike, and of those that read what these say."""
    differ: set[str] = set()
    for agent in build_agents(other):
        own = getattr(one, agent.name, None) != getattr(other, agent.name, None)
        if own or differ.intersection(getattr(agent, "needs", ())):
            differ.add(agent.name)
    return frozenset(differ)


def _drift(settings: Settings) -> DriftConfig:
    return DriftConfig(
        events_per_false_alarm=settings.drift.events_per_false_alarm, reference_events=settings.drift.reference_events
    )


def build_pipeline(
    partition: int, settings: Settings, timed: Callable[[str], AbstractContextManager[object]] = nullcontext
) -> Pipeline:
    """Return a fresh pipeline for a source partition."""
    return Pipeline(
        partition,
        build_agents(settings),
        load_rules(settings.alerts.rules_file or DEFAULT_RULES),
        lateness_ms=int(settings.aggregates.lateness_s * 1000),
        join_pending_max=settings.worker.join_pending_max,
        join_timeout_ms=int(settings.worker.join_timeout_s * 1000),
        repeats_remembered=settings.worker.repeats_remembered,
        timed=timed,
    )


def versions(pipeline: Pipeline) -> dict[str, int]:
    """Return the version of each part of the state."""
    return {**CORE_VERSIONS, **{agent.name: agent.version for agent in pipeline.agents}}

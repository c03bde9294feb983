"""The tiers as a process: health pages, signals, exit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.reviewers.encoder import EncoderTier
from streams.reviewers.judge import JudgeTier
from streams.reviewers.reviewer import Tier
from streams.reviewers.runner import Runner
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune


def build_tiers(settings: Settings) -> list[Tier]:
    """Return the tiers that are on.

    Raises
    ------
    SettingsError
        If none is, or one is set up wrongly.
    """
    tiers: list[Tier] = []
    if settings.tiers.encoder.model_file is not None:
        tiers.append(EncoderTier(settings.tiers.encoder))
    if settings.tiers.judge.url:
        tiers.append(JudgeTier(settings.tiers.judge))
    if not tiers:
        raise SettingsError("tiers: none is on; set tiers.encoder.model_file or tiers.judge.url (docs/tiers.md)")
    return tiers


async def run_tiers(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (drains) or a failure (raises it)."""
    tune()
    runners = [Runner(settings, tier) for tier in build_tiers(settings)]
    part = settings.tiers
    alive = lambda: all(r.assigned.is_set() for r in runners)  # noqa: E731 - as short as its use
    pages = await serve(
        part.health_host, part.health_port, alive, Readiness(lambda: _lag(runners)), settings="tiers.health_"
    )
    try:
        await until_signalled(lambda: _together(r.run() for r in runners), lambda: _together(r.stop() for r in runners))
    finally:
        await pages.cleanup()


async def _together(work: Any) -> None:
    await asyncio.gather(*work)


def _lag(runners: Sequence[Runner]) -> dict[str, int] | None:
    lags = [runner.lag() for runner in runners]
    return None if None in lags else {name: n for lag in lags if lag for name, n in lag.items()}

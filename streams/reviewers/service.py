"""The reviewers process: health pages, signal handling, exit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.reviewers.encoder import EncoderReviewer
from streams.reviewers.judge import JudgeReviewer
from streams.reviewers.reviewer import Reviewer
from streams.reviewers.runner import ReviewerRunner
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune


def build_reviewers(settings: Settings) -> list[Reviewer]:
    """Return the configured reviewers.

    Raises
    ------
    SettingsError
        If no reviewer is configured, or if a configuration is invalid.
    """
    reviewers: list[Reviewer] = []
    if settings.reviewers.encoder.model_file is not None:
        reviewers.append(EncoderReviewer(settings.reviewers.encoder))
    if settings.reviewers.judge.url:
        reviewers.append(JudgeReviewer(settings.reviewers.judge))
    if not reviewers:
        raise SettingsError(
            "reviewers: none configured; set reviewers.encoder.model_file or reviewers.judge.url (docs/reviewers.md)",
            "reviewers",
            "missing",
        )
    return reviewers


async def run_reviewers(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (drains) or a failure (raises it)."""
    tune()
    runners = [ReviewerRunner(settings, reviewer) for reviewer in build_reviewers(settings)]
    section = settings.reviewers
    pages = await serve(
        section.health_host,
        section.health_port,
        lambda: all(r.assigned.is_set() for r in runners),
        Readiness(lambda: _lag(runners)),
        settings="reviewers.health_",
    )
    try:
        await until_signalled(lambda: _gather(r.run() for r in runners), lambda: _gather(r.stop() for r in runners))
    finally:
        await pages.cleanup()


async def _gather(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*coroutines)


def _lag(runners: Sequence[ReviewerRunner]) -> dict[str, int] | None:
    lags = [runner.lag() for runner in runners]
    return None if None in lags else {name: n for lag in lags if lag for name, n in lag.items()}

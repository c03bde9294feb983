"""The reviewers as a process: health pages, signals, exit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.reviewers.encoder import EncoderReviewer
from streams.reviewers.judge import JudgeReviewer
from streams.reviewers.reviewer import Reviewer
from streams.reviewers.runner import Runner
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune


def build_reviewers(settings: Settings) -> list[Reviewer]:
    """Return the reviewers that are on.

    Raises
    ------
    SettingsError
        If none is, or one is set up wrongly.
    """
    reviewers: list[Reviewer] = []
    if settings.reviewers.encoder.model_file is not None:
        reviewers.append(EncoderReviewer(settings.reviewers.encoder))
    if settings.reviewers.judge.url:
        reviewers.append(JudgeReviewer(settings.reviewers.judge))
    if not reviewers:
        raise SettingsError(
            "reviewers: none is on; set reviewers.encoder.model_file or reviewers.judge.url (docs/reviewers.md)",
            "reviewers",
            "missing",
        )
    return reviewers


async def run_reviewers(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (drains) or a failure (raises it)."""
    tune()
    runners = [Runner(settings, reviewer) for reviewer in build_reviewers(settings)]
    part = settings.reviewers
    alive = lambda: all(r.assigned.is_set() for r in runners)  # noqa: E731 - as short as its use
    pages = await serve(
        part.health_host, part.health_port, alive, Readiness(lambda: _lag(runners)), settings="reviewers.health_"
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

"""Shadow host: the worker's interface to its shadows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from processing.pipeline import PartitionPipeline
from schemas.settings import Settings
from streams.shadow.config import ShadowConfig
from streams.shadow.finding_publisher import FindingPublisher
from streams.shadow.shadow import Shadow


class ShadowHost:
    """Factory of one shadow per partition, and publisher of all findings.

    Parameters
    ----------
    settings
        All settings of the primary version.
    config
        Configuration of the shadow.
    """

    def __init__(self, settings: Settings, config: ShadowConfig) -> None:
        self._config = config
        self._publisher = FindingPublisher(settings)

    def start(self) -> None:
        """Start the publisher; requires a running event loop."""
        self._publisher.start()

    async def stop(self) -> None:
        """Stop the publisher after sending queued findings for a few seconds."""
        await self._publisher.stop()

    def create_for(self, pipeline: PartitionPipeline) -> Shadow:
        """Return a new shadow for the pipeline of a partition."""
        return Shadow(pipeline.partition, self._config, pipeline.alert_engine.rules)

    def publish(self, findings: Iterable[dict[str, Any]]) -> None:
        """Queue findings without blocking."""
        self._publisher.publish(findings)

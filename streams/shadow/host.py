"""What a worker needs of its second version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from processing.pipeline import PartitionPipeline
from schemas.settings import Settings
from streams.shadow.config import Plan
from streams.shadow.finding_publisher import Outlet
from streams.shadow.shadow import Shadow


class ShadowHost:
    """Makes the shadow of each partition and publishes what they find.

    Parameters
    ----------
    settings
        All settings, of the first version.
    plan
        The second.
    """

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._plan = plan
        self._outlet = Outlet(settings)

    def start(self) -> None:
        """Begin to publish; needs a running loop."""
        self._outlet.start()

    async def stop(self) -> None:
        """Publish what is left, within a few seconds."""
        await self._outlet.stop()

    def beside(self, pipeline: PartitionPipeline) -> Shadow:
        """Return the shadow of a partition's pipeline."""
        return Shadow(pipeline.partition, self._plan, pipeline.alert_engine.rules)

    def publish(self, findings: Iterable[dict[str, Any]]) -> None:
        """Queue findings; returns at once."""
        self._outlet.put(findings)

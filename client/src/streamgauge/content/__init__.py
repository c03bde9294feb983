"""Content policy: the texts that leave the process."""

from streamgauge.content.policy import ContentPolicy

__all__ = ["ContentPolicy"]

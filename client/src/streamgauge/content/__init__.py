"""What of the texts leaves the process."""

from streamgauge.content.outgoing import Outgoing

__all__ = ["Outgoing"]

"""``streamgauge demo``: everything at once in one process, on simulated traffic whose truth is known."""

from tools.demo.run import run_demo

__all__ = ["run_demo"]

"""Command ``streamgauge demo``: the whole monitor in one process, on simulated traffic with known ground truth."""

from tools.demo.run import run_demo

__all__ = ["run_demo"]

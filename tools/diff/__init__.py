"""Comparison of two versions of settings on one event log: alerts that appear, vanish or change."""

from tools.diff.compare import diff

__all__ = ["diff"]

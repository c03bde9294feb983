"""Alerts: rules over signals, windows and changes; firing and resolved, with hysteresis and cool-down."""

from processing.alerting.engine import AlertEngine

__all__ = ["AlertEngine"]

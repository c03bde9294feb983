"""Alerting: rules over signals, windows and change points, with hysteresis and cool-down."""

from processing.alerting.engine import AlertEngine

__all__ = ["AlertEngine"]

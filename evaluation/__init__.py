"""Measurements of detection quality on sources held out from training."""

"""Simulated traffic of three services with four incidents and their ground truth. Pure: seeded, no clock, no I/O."""

from tools.simulator.ground_truth import AppTotals, GroundTruth
from tools.simulator.incidents import Incident
from tools.simulator.traffic import CALLS, Record, Traffic, simulate

__all__ = ["CALLS", "AppTotals", "GroundTruth", "Incident", "Record", "Traffic", "simulate"]

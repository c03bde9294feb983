"""Simulated traffic of three services, with four incidents and the truth about them. Pure: seeded, no clock, no I/O."""

from tools.simulator.ground_truth import AppTruth, Truth
from tools.simulator.incidents import Incident
from tools.simulator.traffic import CALLS, Record, Traffic, simulate

__all__ = ["CALLS", "AppTruth", "Incident", "Record", "Traffic", "Truth", "simulate"]

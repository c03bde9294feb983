"""Simulated traffic of three services, with four incidents and the truth about them. Pure: seeded, no clock, no I/O."""

from streams.simulator.incidents import Incident
from streams.simulator.traffic import CALLS, Record, Traffic, simulate
from streams.simulator.truth import AppTruth, Truth

__all__ = ["CALLS", "AppTruth", "Incident", "Record", "Traffic", "Truth", "simulate"]

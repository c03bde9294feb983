"""Contracts: what goes in, what comes out, how it is set."""

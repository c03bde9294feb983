"""Contracts: input events, output records, settings, errors and database tables."""

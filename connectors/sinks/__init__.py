"""Sinks of records, dead letters and answers."""

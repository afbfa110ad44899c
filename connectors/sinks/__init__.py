"""Sinks of records, dead letters, cluster events and answers."""

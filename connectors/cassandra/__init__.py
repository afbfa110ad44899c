"""Cassandra as a store: tables by query, written by every worker."""

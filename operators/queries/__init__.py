"""Queries in, answers out."""

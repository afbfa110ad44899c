"""Dataflows: each file reads as its diagram."""

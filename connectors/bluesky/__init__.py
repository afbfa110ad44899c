"""Bluesky, by its public Jetstream."""

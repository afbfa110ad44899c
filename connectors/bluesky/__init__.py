"""Bluesky, through its public Jetstream."""

"""Kafka as a source that resumes from offsets, and as a sink that verifies delivery."""

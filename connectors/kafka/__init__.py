"""Kafka as a source that resumes and as a sink that checks."""

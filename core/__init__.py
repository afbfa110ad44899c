"""The vocabulary that every package speaks: records, settings, errors, telemetry. It imports no other package."""

__version__ = "0.1.0"

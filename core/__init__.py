"""The vocabulary of all packages: records, settings, errors, telemetry. Imports no other package of memewax."""

__version__ = "0.1.0"

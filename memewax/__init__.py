"""What every part of memewax speaks: records, settings, errors and telemetry."""

__version__ = "0.1.0"

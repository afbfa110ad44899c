"""The public face of memewax: the API, commands, the demo, evaluation and benchmarks."""

from core import __version__

__all__ = ["__version__"]

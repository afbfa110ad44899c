"""memewax: analysis of live streams of posts with images and text.

The names below are the public API; everything else may change between versions.

>>> import memewax
>>> memewax.open_store("my-store").address
'my-store'
"""

from core import __version__
from core.errors import BadRecordError, BusyError, MemewaxError, SettingsError, WeightsError, WorldError
from memewax.api import Analyzer, ImageAnalysis, MemeStore, build_flow, open_store

__all__ = [
    "Analyzer",
    "BadRecordError",
    "BusyError",
    "ImageAnalysis",
    "MemeStore",
    "MemewaxError",
    "SettingsError",
    "WeightsError",
    "WorldError",
    "__version__",
    "build_flow",
    "open_store",
]

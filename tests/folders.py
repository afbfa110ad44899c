"""Where the tests find what they read."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""The repository."""

SHARED: Final = ROOT.parent / "shared"
"""The folder beside it, no part of it: recorded data and Apache Kafka. Tests skip what is not there."""

"""What settings are made of: groups of fields, read from `MEMEWAX_*` variables and `memewax.toml`.

A part of memewax declares the group that it needs beside itself and takes that alone. `dataflows.all_settings` puts all
groups together, so that each is still one flat variable.
"""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PREFIX: Final = "MEMEWAX_"
FILE: Final = Path("memewax.toml")
LONGEST_WAIT: Final = 30 * 86_400.0
"""Seconds; no deadline is longer."""


class Group(BaseModel):
    """Some settings that belong together; the text of a field is its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LogSettings(Group):
    """What is logged."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")


def split_at_commas(value: Any) -> Any:
    """The parts of a list that is written in one text; what is no list of texts is left for the field to refuse."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        return value
    return tuple(piece.strip() for part in parts for piece in part.split(",") if piece.strip())

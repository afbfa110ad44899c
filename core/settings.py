"""What settings are made of: groups of fields, read from `MEMEWAX_*` variables and `memewax.toml`.

A part of memewax declares the group that it needs beside itself and takes that alone. `dataflows.all_settings` puts all
groups together, so that each is still one flat variable.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PREFIX: Final = "MEMEWAX_"
FILE: Final = Path("memewax.toml")
LONGEST_WAIT: Final = 30 * 86_400.0
"""Seconds; no deadline is longer."""


class Group(BaseModel):
    """Some settings that belong together; the text of a field is its reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecoverySettings(Group):
    """Where a flow remembers what it did."""

    recovery: Path | None = Field(
        None,
        description="Folder of snapshots; by default beside the first sink. Bytewax's own -r says the same.",
    )


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class LogSettings(Group):
    """What is logged."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="Least level that is logged."
    )


def one_or_list(value: Any) -> Any:
    """Addresses, of one or of a JSON list in one text; never split at commas, which addresses may contain."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return (text,) if text else ()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'not a JSON list ({error}): give one address, or a list as ["store", "out.jsonl"]') from None


def as_variable(value: Any) -> str:
    """The value as a variable holds it, so that it is read back as it is; empty where it is not set."""
    if value is None or value in ((), []):
        return ""
    if isinstance(value, list | tuple):
        alone = str(value[0]) if len(value) == 1 else ""
        return alone if alone and alone == alone.strip() and not alone.startswith("[") else json.dumps(value)
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def split_at_commas(value: Any) -> Any:
    """The parts of a list that is written in one text, or of a JSON list; what is none is left for the field to refuse."""
    parts = one_or_list(value)
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        return value
    return tuple(piece.strip() for part in parts for piece in part.split(",") if piece.strip())

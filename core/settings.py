"""Base class of setting groups, which are read from `MEMEWAX_*` variables and `memewax.toml`, and their parsers.

Each part of memewax declares its own group and receives only that. `dataflows.all_settings` combines all groups, in
which every setting is still one flat variable.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PREFIX: Final = "MEMEWAX_"
FILE: Final = Path("memewax.toml")
LONGEST_WAIT: Final = 30 * 86_400.0
"""Seconds; upper bound of every timeout."""


class Group(BaseModel):
    """A group of related settings; the description of a field is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecoverySettings(Group):
    """Where a flow keeps its snapshots."""

    recovery: Path | None = Field(
        None,
        description="Folder of snapshots; by default beside the first sink. Same as Bytewax's own -r.",
    )


class DeleteSettings(Group):
    """How deletes in a source are handled."""

    deletes: Literal["follow", "ignore"] = Field(
        "follow",
        description="follow: apply deletes of a source, and hide posts of accounts that it hides; ignore: for an archive that may keep them. `memewax forget` works either way.",
    )

    forget_memory_days: float = Field(
        30.0,
        ge=0,
        le=3650,
        description="Days that a delete is remembered, as a keyed hash, so that a post that arrives after its delete is left out; the last 65,536 at most.",
    )


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class LogSettings(Group):
    """Log settings."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="Lowest level that is logged."
    )


class TraceSettings(Group):
    """Where traces are sent."""

    traces: str = Field(
        "",
        description="OTLP collector that receives traces over HTTP, such as http://localhost:4318; empty: no traces. Needs memewax[traces].",
    )


class HealthSettings(Group):
    """Where each process of a flow serves health pages and metrics."""

    health_port: int = Field(
        3030,
        ge=0,
        le=65_000,
        description="Port of /healthz, /readyz and /metrics; further processes on the same machine use the next ports; 0: none.",
    )

    health_host: str = Field(
        "auto",
        description="Address to listen on; auto: all interfaces in a Kubernetes pod, else 127.0.0.1; 0.0.0.0: all interfaces.",
    )

    stalled_seconds: float = Field(
        600.0,
        gt=0,
        le=LONGEST_WAIT,
        description="Seconds without a record, a reading or an epoch, while input waits, after which /healthz reports a stalled flow.",
    )

    drain_seconds: float = Field(
        30.0,
        gt=0,
        le=LONGEST_WAIT,
        description="Of several processes, one that is asked to stop ends this many seconds after its last reading, even if the others were not asked; not used by `memewax run`, which asks all.",
    )


def one_or_list(value: Any) -> Any:
    """Parse a text that is one address or a JSON list; never split at commas, which addresses may contain."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return (text,) if text else ()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'not a JSON list ({error}): give one address or a list like ["store", "out.jsonl"]') from None


def as_variable(value: Any) -> str:
    """Format a value for an environment variable so that it parses to the same value; empty if it is not set."""
    if value is None or value in ((), []):
        return ""
    if isinstance(value, list | tuple):
        alone = str(value[0]) if len(value) == 1 else ""
        return alone if alone and alone == alone.strip() and not alone.startswith("[") else json.dumps(value)
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def split_at_commas(value: Any) -> Any:
    """Parse a comma-separated text or a JSON list into a tuple; other values are returned for the field to refuse."""
    parts = one_or_list(value)
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        return value
    return tuple(piece.strip() for part in parts for piece in part.split(",") if piece.strip())

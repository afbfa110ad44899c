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


class DeleteSettings(Group):
    """What becomes of deletes that a source holds."""

    deletes: Literal["follow", "ignore"] = Field(
        "follow",
        description="Whether what a source takes back goes, and accounts that it hides are hidden; ignore: for an archive that may keep it. `memewax forget` works either way.",
    )

    forget_memory_days: float = Field(
        30.0,
        ge=0,
        le=3650,
        description="For so long a delete is remembered, as a keyed hash, so that its post is left out if it comes after it: the last 65,536 at most.",
    )


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class LogSettings(Group):
    """What is logged."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="Least level that is logged."
    )


class TraceSettings(Group):
    """Where traces go."""

    traces: str = Field(
        "",
        description="OTLP collector that traces go to over HTTP, as http://localhost:4318; empty: nothing is traced. Needs memewax[traces].",
    )


class HealthSettings(Group):
    """Where each process of a flow says whether it is well."""

    health_port: int = Field(
        3030,
        ge=0,
        le=65_000,
        description="Port of /healthz, /readyz and /metrics; the second process of a machine has the next one, and so on; 0: none.",
    )

    health_host: str = Field(
        "auto",
        description="Address that it listens on; auto: of a pod of Kubernetes every one, else 127.0.0.1; 0.0.0.0: every one.",
    )

    stalled_seconds: float = Field(
        600.0,
        gt=0,
        le=LONGEST_WAIT,
        description="Without a record, a reading and an epoch for so long while input waits, /healthz says that the flow is stalled.",
    )

    drain_seconds: float = Field(
        30.0,
        gt=0,
        le=LONGEST_WAIT,
        description="One of several processes that is asked to stop ends so long after its last reading, though the others were not asked; not with `memewax run`, which asks all.",
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

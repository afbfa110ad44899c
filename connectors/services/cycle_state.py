"""A round of polling that is on its way, as it is kept in recovery."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from connectors.services.listing import Cursor

_STORED: Final = {"ascending": "up", "unconfirmed": "loose"}
"""Fields that snapshots hold under another name."""


@dataclass(slots=True)
class CycleState:
    """A round on its way."""

    pages: int
    """How far back it goes whatever is known; 0: as far as something is new."""
    cursor: Cursor | None = None
    """The page that is being read."""
    depth: int = 1
    """Pages so far, with this one."""
    ascending: bool = False
    """Whether it is on its way back up."""
    listed: list[str] = field(default_factory=list)
    """Ids of the pages that are done, newest first."""
    done: list[str] = field(default_factory=list)
    """Ids of this page that are done."""
    unconfirmed: list[str] = field(default_factory=list)
    """Ids that were met on the way up only."""
    partial: tuple[str, int] | None = None
    """The gallery of which so many images are handed out."""
    oldest: float | None = None

    def as_plain(self) -> dict[str, Any]:
        """As plain values, which later changes leave alone."""
        values = {_STORED.get(it.name, it.name): getattr(self, it.name) for it in fields(self)}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "CycleState":
        """The round that `as_plain` took apart."""
        ours = {stored: name for name, stored in _STORED.items()}
        values = {ours.get(name, name): value for name, value in plain.items()}
        return cls(**{**values, **{name: list(values[name]) for name in ("listed", "unconfirmed", "done")}})

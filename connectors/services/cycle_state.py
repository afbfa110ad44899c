"""State of one polling cycle, as snapshots hold it.

A cycle first descends from the newest page to older ones. Where deletions shift posts between numbered pages, it then
ascends through the same pages. `connectors.services.polling_cycles` explains both, and what unconfirmed ids are.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from connectors.services.listing import Cursor

_STORED: Final = {"ascending": "up", "unconfirmed": "loose"}
"""Names of fields in snapshots, where they differ."""


@dataclass(slots=True)
class CycleState:
    """Progress of a polling cycle."""

    pages: int
    """Number of pages to read even if their posts are known; 0: read until posts are known."""
    cursor: Cursor | None = None
    """Cursor of the current page; None: the newest."""
    depth: int = 1
    """Number of the current page, counted from 1 at the newest."""
    ascending: bool = False
    """Whether the cycle is on its second pass, from older pages back to the newest."""
    listed: list[str] = field(default_factory=list)
    """Ids on the completed pages, newest first."""
    done: list[str] = field(default_factory=list)
    """Ids of the current page that were handed out."""
    unconfirmed: list[str] = field(default_factory=list)
    """Ids met only while ascending; below them there may be unread posts, so no later cycle ends at them."""
    partial: tuple[str, int] | None = None
    """Id of a gallery that was handed out in part, and the number of its images so far."""
    oldest: float | None = None
    """Time of the oldest post that the cycle has reached, in seconds since 1970; becomes `oldest_seen` at its end."""

    def as_plain(self) -> dict[str, Any]:
        """Return plain values for a snapshot; they do not share state with this object."""
        values = {_STORED.get(it.name, it.name): getattr(self, it.name) for it in fields(self)}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "CycleState":
        """Restore a cycle from `as_plain`."""
        ours = {stored: name for name, stored in _STORED.items()}
        values = {ours.get(name, name): value for name, value in plain.items()}
        return cls(**{**values, **{name: list(values[name]) for name in ("listed", "unconfirmed", "done")}})

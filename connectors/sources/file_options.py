"""How files of posts are read."""

from dataclasses import dataclass

from connectors.sources.column_mapping import ChosenColumn


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are read."""

    follow: bool
    parts: int
    """Of a file of lines; fixed, as `block_bytes` is, for the life of a recovery folder."""
    block_bytes: int
    """A file of lines is dealt to its parts in blocks of this size."""
    batch: int
    """Rows of a unit, at most."""
    columns: tuple[ChosenColumn, ...] = ()
    are_posts: bool = True
    """Whether the rows become posts; else they are left as they are."""

"""Options for reading files of posts."""

from dataclasses import dataclass

from connectors.sources.column_mapping import ChosenColumn


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options for reading files."""

    follow: bool
    parts: int
    """Number of partitions of a file of lines; fixed, like `block_bytes`, for the life of a recovery folder."""
    block_bytes: int
    """A file of lines is distributed over its partitions in blocks of this size."""
    batch: int
    """Maximum number of rows in a unit."""
    columns: tuple[ChosenColumn, ...] = ()
    are_posts: bool = True
    """Whether rows are mapped to posts, or left unchanged."""

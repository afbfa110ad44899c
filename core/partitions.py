"""Hash partitioning of keys."""

from zlib import crc32


def part_of(key: str | bytes, parts: int) -> int:
    """Return the partition of a key, 0 to `parts` - 1: the same in every process and after every restart (CRC-32)."""
    return crc32(key.encode() if isinstance(key, str) else key) % parts

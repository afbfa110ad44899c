"""Which of several parts a key belongs to."""

from zlib import crc32


def part_of(key: str | bytes, parts: int) -> int:
    """A number below `parts`: the same in every process, on every machine and after every restart."""
    return crc32(key.encode() if isinstance(key, str) else key) % parts

"""Keys stay with their part: recovered state and dealt work rely on it."""

from core.partitions import part_of


def test_the_part_of_a_key_never_changes() -> None:
    """Another hash would send what a recovery folder knows to other parts."""
    assert [part_of(key, 64) for key in ("1-reddit", "é", "")] == [2, 62, 0]
    assert part_of("é".encode(), 64) == part_of("é", 64)


def test_parts_get_about_the_same() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[part_of(f"{number}-reddit", 8)] += 1
    assert min(counts) > 900

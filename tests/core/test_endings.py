"""The last words of a run."""

import pytest

from core.endings import Kinds, Usage, last_line, plural


def usage(posts: int = 0, letters: int = 0, images: int = 0, failed: int = 0, duplicates: int = 0) -> Usage:
    return Usage(posts, letters, images, failed, duplicates, {})


@pytest.mark.parametrize(
    ("found", "is_useless"),
    [
        (usage(), False),
        (usage(letters=301), True),
        (usage(letters=1, duplicates=5), False),
        (usage(posts=60, letters=60, failed=60), True),
        (usage(posts=60, letters=59, images=1, failed=59), False),
        (usage(posts=60, letters=241, images=60), False),
        (usage(posts=60), False),
    ],
)
def test_a_run_is_useless_where_something_was_read_and_nothing_could_be_used(found: Usage, is_useless: bool) -> None:
    assert found.is_useless is is_useless


def test_the_commonest_reasons_come_first_with_what_to_do() -> None:
    reasons = {("fetch", "no such file"): 40, ("parse", "url is missing"): 2, ("fetch", "odd"): 9, ("a", "b"): 1}
    lines = last_line(3, Usage(43, 52, 3, 49, 0, reasons), 1.25).splitlines()
    assert lines[0] == "3 records, 52 dead letters in 1.2 s"
    assert lines[1].startswith("  40 x fetch: no such file (a path counts from the folder of the source")
    assert lines[2:] == [
        "  9 x fetch: odd",
        "  2 x parse: url is missing (each post needs global_id and url)",
        lines[-1],
    ]
    assert lines[-1] == "  and 1 for other reasons"


def test_kinds_of_reasons_are_bounded_whatever_strangers_write() -> None:
    kinds = Kinds()
    assert kinds.of("not JSON in UTF-8: unexpected end at line 17") == "not JSON in UTF-8"
    assert kinds.of("score must be an integer, found 'x'") == "score must be an integer"
    assert kinds.of("HTTP 404") == "HTTP 404"
    found = {kinds.of(f"{'x' * number} is odd") for number in range(1000)}
    assert len(found) <= 51
    assert max(map(len, found)) <= 80


def test_one_is_not_many() -> None:
    assert [plural(1, "record"), plural(0, "record"), plural(1200, "copy", "copies")] == [
        "1 record",
        "0 records",
        "1,200 copies",
    ]

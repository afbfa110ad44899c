"""Lines in the order in which people read them."""

from random import Random

import pytest

from core.records import Line
from models.ocr.reading_order import in_reading_order


def line(text: str, x: float, y: float, width: float = 50, height: float = 20) -> Line:
    return Line(text, 1.0, ((x, y), (x + width, y), (x + width, y + height), (x, y + height)))


def order(*lines: Line) -> str:
    shuffled = Random(1).sample(lines, len(lines))
    return "".join(line.text for line in in_reading_order(shuffled))


def test_no_lines() -> None:
    assert in_reading_order([]) == []


def test_rows_from_top_to_bottom_each_from_left_to_right() -> None:
    lines = [line("d", 0, 25), line("b", 58, 3), line("a", 0, 0), line("c", 116, 6), line("e", 58, 22)]
    assert order(*lines) == "abcde"


def test_a_list_is_read_to_its_end_before_the_list_beside_it() -> None:
    left = [line(text, 0, 24 * row) for row, text in enumerate("abc")]
    right = [line(text, 100, 24 * row + 2) for row, text in enumerate("def")]
    assert order(*left, *right) == "abcdef"


def test_a_caption_comes_before_the_columns_under_it() -> None:
    columns = [line("b", 0, 80), line("c", 0, 103), line("d", 150, 80), line("e", 150, 103)]
    assert order(line("a", 0, 0, width=200), *columns, line("f", 0, 200, width=200)) == "abcdef"


def test_panels_are_read_row_by_row() -> None:
    panels = [line("a", 0, 0), line("b", 300, 0), line("c", 0, 300), line("d", 300, 300)]
    assert order(*panels) == "abcd"


def test_rows_whose_boxes_overlap_stay_rows() -> None:
    assert order(line("a", 0, 0), line("b", 10, 16), line("c", 4, 31)) == "abc"


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_the_size_of_the_image_does_not_matter(scale: float) -> None:
    places = {"a": (0, 0), "b": (0, 24), "c": (100, 0), "d": (100, 24)}
    lines = [line(text, scale * x, scale * y, scale * 50, scale * 20) for text, (x, y) in places.items()]
    assert order(*lines) == "abcd"


def test_every_line_stays_and_none_is_added() -> None:
    random = Random(3)
    lines = [line(str(n), random.uniform(0, 500), random.uniform(0, 500)) for n in range(40)]
    assert sorted(in_reading_order(lines), key=id) == sorted(lines, key=id)

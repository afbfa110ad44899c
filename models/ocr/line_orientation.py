"""Orientation of lines: photographs may be rotated by 90 degrees, and pages upside down."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from core.records import Line
from models.ocr.reading_order import in_reading_order

Turn = Literal[0, 90, 180, 270]
"""Degrees by which a line is rotated clockwise from horizontal."""

_LEVEL: Final[dict[Turn, tuple[int, int, int, int]]] = {
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}
"""Rotation matrix (a, b, c, d) that makes lines horizontal: (x, y) becomes (a x + b y, c x + d y)."""


def in_order(lines: Sequence[tuple[Line, Turn]]) -> list[Line]:
    """Sort lines into reading order, as if the image were rotated until most of its letters are upright."""
    letters: Counter[Turn] = Counter()
    for line, turn in lines:
        letters[turn] += len(line.text)
    if not letters:
        return []
    a, b, c, d = _LEVEL[letters.most_common(1)[0][0]]
    places: dict[int, Line] = {}
    level = []
    for line, _ in lines:
        turned = replace(line, box=tuple((a * x + b * y, c * x + d * y) for x, y in line.box))
        places[id(turned)] = line
        level.append(turned)
    return [places[id(line)] for line in in_reading_order(level)]

"""From boxes to text as people would write it down: blocks, columns, rows.

A recursive XY cut (Nagy and Seth 1984): an image falls apart at its widest empty bands first. Captions and panels one
above the other come before columns, and columns before rows: a list is read to its end before the list beside it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from core.records import Line

_BLOCK: Final = 1.0
"""An empty band so many line heights high parts what is above from what is below."""
_COLUMN: Final = 1.0
"""An empty band so many line heights wide parts columns; between words there is half a height at most."""
_CORE: Final = 0.5
"""Of a line's height, the middle part that no line above or below reaches into."""

_Span = Callable[[Line], tuple[float, float]]


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """The lines in the order in which people read them."""
    if len(lines) < 2:
        return list(lines)
    height = float(np.median([_bottom(line) - _top(line) for line in lines]))
    for span, gap in ((_rows, _BLOCK * height), (_columns, _COLUMN * height), (_cores, 0.0)):
        parts = _parted(lines, span, gap)
        if len(parts) > 1:
            return [line for part in parts for line in in_reading_order(part)]
    return sorted(lines, key=lambda line: (_left(line), _top(line)))


def _parted(lines: Sequence[Line], span: _Span, gap: float) -> list[list[Line]]:
    """The lines between which nothing reaches over a band wider than `gap`."""
    parts: list[list[Line]] = []
    end = -np.inf
    for line in sorted(lines, key=span):
        start, stop = span(line)
        if start - end > gap:
            parts.append([])
        parts[-1].append(line)
        end = max(end, stop)
    return parts


def _rows(line: Line) -> tuple[float, float]:
    return _top(line), _bottom(line)


def _columns(line: Line) -> tuple[float, float]:
    return _left(line), max(x for x, _ in line.box)


def _cores(line: Line) -> tuple[float, float]:
    middle, half = (_top(line) + _bottom(line)) / 2, _CORE * (_bottom(line) - _top(line)) / 2
    return middle - half, middle + half


def _left(line: Line) -> float:
    return min(x for x, _ in line.box)


def _top(line: Line) -> float:
    return min(y for _, y in line.box)


def _bottom(line: Line) -> float:
    return max(y for _, y in line.box)

"""Sort lines into reading order: blocks, columns, rows.

A recursive XY cut (Nagy and Seth 1984): the image is split at empty bands. Blocks one above the other, such as captions
and panels, are split first, then columns, then rows: a list is read to its end before the list beside it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from core.records import Line

_BLOCK: Final = 1.0
"""Height of an empty band that separates blocks, in line heights."""
_COLUMN: Final = 1.0
"""Width of an empty band that separates columns, in line heights; gaps between words are at most half as wide."""
_CORE: Final = 0.5
"""Share of a line's height, around its middle, that lines above and below never overlap."""

_Span = Callable[[Line], tuple[float, float]]


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Return the lines in reading order."""
    if len(lines) < 2:
        return list(lines)
    height = float(np.median([_bottom(line) - _top(line) for line in lines]))
    for span, gap in ((_rows, _BLOCK * height), (_columns, _COLUMN * height), (_cores, 0.0)):
        parts = _parted(lines, span, gap)
        if len(parts) > 1:
            return [line for part in parts for line in in_reading_order(part)]
    return sorted(lines, key=lambda line: (_left(line), _top(line)))


def _parted(lines: Sequence[Line], span: _Span, gap: float) -> list[list[Line]]:
    """Group lines whose spans are separated by no empty band wider than `gap`, in order of the spans."""
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

"""Flame graph as a self-contained SVG file for any browser."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

from core.untrusted_text import one_line

_WIDTH: Final = 1400
_ROW: Final = 18
_LETTER: Final = 6.6
"""Greatest width of a letter, in pixels."""
_NARROWEST: Final = 0.4
"""Width in pixels below which frames are left out."""
_DEEPEST: Final = 120
_STYLE: Final = "rect{stroke:#fff;stroke-width:.4} g:hover rect{stroke:#000;stroke-width:1}"


@dataclass(slots=True)
class _Frame:
    seconds: float = 0.0
    inner: "dict[str, _Frame]" = field(default_factory=dict)


def flame_graph(stacks: Mapping[str, float], title: str) -> str:
    """Draw a flame graph.

    Args:
        stacks: Seconds of each stack; a stack is its frames joined by `;`, outermost first.
        title: Title of the graph.

    Returns:
        The SVG document.
    """
    root = _Frame()
    for stack, seconds in stacks.items():
        root.seconds += seconds
        frame = root
        for name in stack.split(";")[:_DEEPEST]:
            frame = frame.inner.setdefault(name, _Frame())
            frame.seconds += seconds
    boxes = list(_boxes("all", root, root.seconds or 1.0, 0.0, 0))
    height = (max((depth for _, _, _, depth, _ in boxes), default=0) + 2) * _ROW + 24
    drawn = "\n".join(_box(*it, whole=root.seconds or 1.0) for it in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="monospace" '
        f'font-size="11">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="6" y="16" font-size="13">{escape(title)}</text>\n'
        f"{drawn}\n</svg>\n"
    )


def _boxes(
    name: str, frame: _Frame, whole: float, left: float, depth: int
) -> Iterator[tuple[str, float, float, int, float]]:
    """Yield name, left, width, depth and seconds of a frame and of all visible frames inside it."""
    width = _WIDTH * frame.seconds / whole
    if width < _NARROWEST:
        return
    yield name, left, width, depth, frame.seconds
    for inner, it in sorted(frame.inner.items()):
        yield from _boxes(inner, it, whole, left, depth + 1)
        left += _WIDTH * it.seconds / whole


def _box(name: str, left: float, width: float, depth: int, seconds: float, *, whole: float) -> str:
    top = 24 + depth * _ROW
    hue = 20 + crc32(name.rpartition(".")[0].encode()) % 40
    letters = int(width / _LETTER) - 1
    text = escape(one_line(name) if len(name) <= letters else f"{name[: letters - 1]}…") if letters > 2 else ""
    tooltip = escape(f"{one_line(name)}: {seconds:.2f} s, {seconds / whole:.1%}")
    return (
        f'<g><title>{tooltip}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_ROW - 1}" '
        f'fill="hsl({hue},75%,70%)"/><text x="{left + 3:.1f}" y="{top + 12}">{text}</text></g>'
    )

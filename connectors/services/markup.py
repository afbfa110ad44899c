"""Images and text in the HTML of a post."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

IMAGE_ENDING: Final = re.compile(r"\.(jpe?g|png|gif|webp|avif|bmp|tiff?)$", re.IGNORECASE)
"""Matches the path of an image's URL."""
_BREAKS: Final = frozenset({"p", "br", "div", "li", "blockquote", "figure", "h1", "h2", "h3", "ul", "ol"})
_HIDDEN: Final = frozenset({"script", "style"})


@dataclass(slots=True)
class Content:
    """The content of a post's HTML."""

    images: list[str] = field(default_factory=list)
    """URLs of the images, each in its largest size."""
    has_video: bool = False
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.content = Content()
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "img":
            url = _largest(known.get("srcset") or "") or known.get("src") or ""
            is_counter = {known.get("width"), known.get("height")} <= {"0", "1"}
            if url and not is_counter and not url.startswith("data:"):  # a placeholder that a script would replace
                self.content.images.append(url)
        elif tag in {"video", "iframe"}:
            self.content.has_video = True
        if tag in _BREAKS:
            self.content.text += "\n"
        self._hidden += tag in _HIDDEN

    def handle_endtag(self, tag: str) -> None:
        if tag in _BREAKS:
            self.content.text += "\n"
        self._hidden -= tag in _HIDDEN and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.content.text += data


def read_html(source: str) -> Content:
    """Extract images and text from `source`, which need not be well-formed."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    lines = (" ".join(line.split()) for line in reader.content.text.splitlines())
    reader.content.text = "\n".join(filter(None, lines))
    return reader.content


def _largest(srcset: str) -> str | None:
    """Return the widest image of a `srcset`; among equal widths the last one, which has the higher density."""
    found = re.findall(r"(\S+)\s+(\d+)w(?:,|$)", srcset)
    return max(reversed(found), key=lambda it: int(it[1]))[0] if found else None

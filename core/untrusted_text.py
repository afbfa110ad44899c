"""Text that strangers wrote, as a person or a message gets it: it does nothing to a terminal, and is bounded."""

import re
from typing import Any, Final

import orjson

LONGEST_REASON: Final = 1000
"""Characters: a reason quotes what it is about, which may be a megabyte."""
_NOTE: Final = 40
"""Characters that it takes at most to say how many there were."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Terminal escapes, and what turns the direction of text around; newline, tab and joined emoji pass."""
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Of these what JSON may hold as it is, but a terminal may act upon."""
_BREAK: Final = re.compile(r"[\n\t]+")


def sanitized(text: str) -> str:
    """`text` with a replacement character for all that a terminal would act upon."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """The same, with a blank for each break of a line."""
    return sanitized(_BREAK.sub(" ", text))


def safe_json(value: Any) -> str:
    """JSON of one line in which nothing stands unescaped that a terminal would act upon."""
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value).decode())


def shortened(text: str, most: int = LONGEST_REASON) -> str:
    """At most `most` characters (41 at least), which end with how many there were where that is not all."""
    return text if len(text) <= most else f"{text[: most - _NOTE]}… ({len(text):,} characters)"

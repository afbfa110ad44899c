"""Sanitises untrusted text for terminals and messages: no terminal escapes, bounded length."""

import re
from typing import Any, Final

import orjson

LONGEST_REASON: Final = 1000
"""Characters: a reason quotes the data it is about, which may be a megabyte."""
_NOTE: Final = 40
"""Maximum length of the note that says how long the text was."""
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Terminal escapes and bidirectional overrides; newline, tab and joined emoji pass."""
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Those of them that JSON may contain unescaped, but a terminal may act upon."""
_BREAK: Final = re.compile(r"[\n\t]+")


def sanitized(text: str) -> str:
    """Replace each character that a terminal would act upon with U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Sanitise a text, and replace line breaks and tabs with spaces."""
    return sanitized(_BREAK.sub(" ", text))


def safe_json(value: Any) -> str:
    """Encode as one-line JSON in which every character that a terminal would act upon is escaped."""
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value).decode())


def shortened(text: str, most: int = LONGEST_REASON) -> str:
    """Truncate to `most` characters (at least 41), ending with the original length if truncated."""
    return text if len(text) <= most else f"{text[: most - _NOTE]}… ({len(text):,} characters)"

"""Remove what platforms write around an image from its OCR text: account names, times, counters, watermarks."""

import re
from collections.abc import Iterable
from typing import Final

_COUNTED: Final = (
    "likes?|re-?tweets?|quotes?|quote tweets?|comments?|reply|replies|shares?|views?|followers?|following|reactions?|"
    "points?|upvotes?|awards?|notes?|reblogs?|re-?posts?|bookmarks?|subscribers?|members?|votes?"
)
_MONTH: Final = "(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]{0,6}"
_AGO: Final = "s|m|h|d|w|y|mins?|hrs?|minutes?|hours?|days?|weeks?|months?|years?"
_BUTTONS: Final = (
    "like|comment|share|reply|follow|following|retweet|repost|send|save|edited|see more|see translation|show more|"
    "show this thread|read more|write a comment|add a comment|tweet your reply|delivered|read|seen|sent"
)


def _pieces(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(rf"(?:{it})(?!\w)", re.IGNORECASE) for it in patterns)


_SURE: Final = _pieces(
    r"\d{1,2}[:.]\d{2}(?:\s?[ap]\.?\s?m\.?)?",  # a clock
    r"\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})",  # a date
    rf"{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?:,? at)?",
    rf"\d{{1,2}} {_MONTH}\.?(?: \d{{4}})?(?:,? at)?",
    rf"\d{{1,3}}\s?(?:{_AGO})(?: ago)?|yesterday(?: at)?|just now",
    rf"\d[\d.,]{{0,11}}\s?[kmb]?\s(?:{_COUNTED})",  # a counter
    rf"(?:{_COUNTED})\s\d[\d.,]{{0,11}}[kmb]?",
    r"\d[\d.,]{0,11}[km]",
    r"(?:twitter|facebook|instagram)(?: (?:for|web) ?(?:iphone|android|ipad|app|web)?)?|tweetdeck",
    r"lte|[345]g|at&t|verizon|t-mobile|posted by|promoted|sponsored",
)
"""Text that only platforms write: one piece suffices to drop a line that has nothing else."""
_UNSURE: Final = _pieces(_BUTTONS, r"\d[\d.,]{0,11}", r"\d{1,3}\s?%")
"""Text that may be the image's own: two pieces are needed."""
_ANY: Final = re.compile("|".join(it.pattern for it in (*_SURE, *_UNSURE)), re.IGNORECASE)
"""Any of the pieces, for a quick check of lines of ordinary words."""
_BETWEEN: Final = re.compile(r"[\s·•.|,\-]*")
_ELSEWHERE: Final = re.compile(
    r"(?<!\w)@\w[\w.]*|(?<!\w)/?[ur]/\w[\w-]+|https?://\S+|www\.\S+|"
    r"(?:(?<!\w)via )?(?<![\w.-])[\w-]{1,63}\.(?:com|net|org|co|io|tv|me|gg|ru|de|fr|uk|in)(?:/\S*)?(?!\w)|"
    r"(?<!\w)(?:made (?:with|on|in|by|at) \w+|mematic|imgflip|i ?funny|9gag|quickmeme|meme ?generator|make ?a ?meme|"
    r"memecenter|cheezburger|shutterstock|alamy|getty ?images)(?!\w)",
    re.IGNORECASE,
)
"""Names of accounts and forums, URLs and watermarks of sites, anywhere in a line."""
_EDGES: Final = " ·•|-\t"


def plain_text(lines: Iterable[str]) -> str:
    """Remove what platforms add from lines of text; return the lines that remain, joined by newlines.

    Names of accounts, URLs and watermarks of sites are removed anywhere. A line that consists only of times, dates,
    counters and buttons is dropped. Words that might be the image's own stay.

    >>> plain_text(["@somebody", "when the tests pass", "12:30 PM", "3,120 Retweets 8 Likes"])
    'when the tests pass'
    """
    return "\n".join(filter(None, map(_plain, lines)))


def _plain(line: str) -> str:
    left = " ".join(_ELSEWHERE.sub(" ", line).split()).strip(_EDGES)
    is_shorter = len(left) < len(" ".join(line.split()))
    return "" if _is_around(left, sure=is_shorter) else left


def _is_around(line: str, *, sure: bool) -> bool:
    """Check whether a line consists only of what platforms write; `sure`: part of it already was and was removed."""
    unsure = 0
    place = _after_marks(line, 0)
    if place < len(line) and not _ANY.match(line, place):
        return False
    while place < len(line):
        found = _longest(_SURE, line, place)
        if found is not None:
            sure = True
        else:
            found = _longest(_UNSURE, line, place)
            unsure += 1
        if found is None:
            return False
        place = _after_marks(line, found)
    return not line or sure or unsure > 1


def _longest(pieces: tuple[re.Pattern[str], ...], line: str, place: int) -> int | None:
    """Return the end of the longest piece that begins at a position, or None."""
    return max((found.end() for it in pieces if (found := it.match(line, place))), default=None)


def _after_marks(line: str, place: int) -> int:
    found = _BETWEEN.match(line, place)
    return found.end() if found else place

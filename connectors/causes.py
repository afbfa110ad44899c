"""Why posts fail, in a person's words, and what can be done."""

import re
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """Why something failed."""

    what: str
    advice: str


_CAUSES: Final = tuple(
    (re.compile(pattern), Cause(what, advice))
    for pattern, what, advice in (
        (r"^no such (file|object)", "the picture is not where the post says", "put it there, then replay"),
        (r"MEMEWAX_FETCH_ALLOW", "an address that is not of the public web", "allow it with MEMEWAX_FETCH_ALLOW"),
        (
            r"MEMEWAX_FETCH_FOLDER",
            "a local path without a folder it may lie in",
            "set MEMEWAX_FETCH_FOLDER, then replay",
        ),
        (
            r"outside the folder",
            "a path that leaves the source's folder",
            "move the picture into the folder, then replay",
        ),
        (r"^HTTP (401|403|407)", "the server wants to know who asks", "nothing here helps: drop it"),
        (r"^HTTP (404|410)", "the server has no such picture any more", "nothing here helps: drop it"),
        (
            r"^HTTP (429|5[0-9][0-9])",
            "the server was too busy or broken",
            "it is tried again by itself; else replay later",
        ),
        (
            r"not there after|in time$",
            "the server did not answer in time",
            "it is tried again by itself; else replay later",
        ),
        (r"no address|connection|refused", "the server could not be reached", "see to the network, then replay"),
        (
            r"a post may not name|not a URL|no way to fetch",
            "the address is none that can be fetched",
            "mend the address and send the post again",
        ),
        (
            r"^more than \d+ bytes|pixels in all|too many pixels|scans",
            "the picture is too large",
            "raise the limit in docs/fetching.md, then replay",
        ),
        (r"^a broken", "the file is no whole picture", "mend the file, then replay"),
        (
            r"^no picture|^SVG|^a web page|^no bytes",
            "what is there is no picture",
            "put a picture there, then replay",
        ),
        (r"not JSON", "the line or message is no JSON", "mend the source: each line is one JSON object"),
        (
            r"is missing|must be|is no time|JSON object|too deep|longer than",
            "a field is not as a post has it",
            "mend the message at its source and send it again",
        ),
        (
            r"too many for the topic",
            "the record is too large for the topic",
            "raise the topic's max.message.bytes",
        ),
    )
)
_UNKNOWN: Final = Cause("a stage failed on it", "see the log of the run; replay once it is mended")


def cause_of(reason: str) -> Cause:
    """The cause that a failure's reason tells of."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(reason)), _UNKNOWN)

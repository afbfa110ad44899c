"""Why posts fail, in a person's words, and what can be done: one table for all that tells of failures."""

import re
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """Why something failed."""

    name: str
    """One word for the class, as the metrics have it."""
    what: str
    advice: str


_BUSY: Final = "it is tried again by itself; else replay it later"
_CAUSES: Final = tuple(
    (re.compile(pattern), Cause(name, what, advice))
    for name, pattern, what, advice in (
        (
            "not_there",
            r"^no such (file|object)",
            "the image is not where the post says",
            "a path counts from the folder of the source, or from MEMEWAX_FETCH_FOLDER: put it there, then replay",
        ),
        (
            "not_public",
            r"not of the public web|MEMEWAX_FETCH_ALLOW",
            "an address that is not of the public web",
            "allow it with MEMEWAX_FETCH_ALLOW, then replay",
        ),
        (
            "no_folder",
            r"^a local path",
            "a local path without a folder it may lie in",
            "set MEMEWAX_FETCH_FOLDER to the folder of the images, then replay",
        ),
        (
            "outside_folder",
            r"outside the folder",
            "a path that leaves the source's folder",
            "move the image into the folder, or name another one with MEMEWAX_FETCH_FOLDER, then replay",
        ),
        ("not_allowed", r"^HTTP (401|403|407)", "the server wants to know who asks", "nothing here helps: drop it"),
        ("gone", r"^HTTP (404|410)", "the server has no such image any more", "nothing here helps: drop it"),
        ("server_busy", r"^HTTP (429|5[0-9][0-9])", "the server was too busy or broken", _BUSY),
        ("timeout", r"not there after|in time$", "the server did not answer in time", _BUSY),
        (
            "no_driver",
            r"needs a driver",
            "a bucket whose driver is not installed",
            "install what the reason names, then replay",
        ),
        (
            "unreachable",
            r"no address|connection|refused",
            "the server could not be reached",
            "see to the network and the address, then replay",
        ),
        (
            "bad_address",
            r"^not (a URL|gs://)|^no URL|^no way to fetch|^no scheme|^no file can",
            "the address is none that can be fetched",
            "mend the address and send the post again",
        ),
        (
            "too_large",
            r"^more than [0-9N]+ bytes|pixels in all|too many pixels|scans|of more than",
            "the image is too large",
            "raise the limit in docs/fetching.md, then replay",
        ),
        (
            "broken_image",
            r"^a broken",
            "the file is no whole image",
            "mend the file, or wait until it is whole, then replay",
        ),
        (
            "no_image",
            r"^no image|^SVG|^a web page|^no bytes|which is not read",
            "what is there is no image",
            "put an image there, then replay",
        ),
        (
            "not_json",
            r"^not JSON|^expected a JSON object",
            "the line or message is no JSON object",
            "each line is a JSON object with global_id and url",
        ),
        (
            "field_missing",
            r"^(global_id|url) is missing",
            "a field is not as a post has it",
            "each post needs global_id and url",
        ),
        (
            "bad_field",
            r"is missing|must be|is no time|nested more than|longer than|does not fit",
            "a field is not as a post has it",
            "mend the message at its source and send it again",
        ),
        (
            "unknown_form",
            r"no known form",
            "an entry of a service is not as it was when memewax was written",
            "report it with what `memewax dead-letters show` says",
        ),
        (
            "record_too_large",
            r"too many for the topic",
            "the record is too large for the topic",
            "raise the topic's max.message.bytes",
        ),
    )
)
_UNKNOWN: Final = Cause("stage_failed", "a stage failed on it", "see the log of the run; replay once it is mended")


def cause_of(reason: str) -> Cause:
    """The cause that a failure's reason tells of."""
    return known_cause(reason) or _UNKNOWN


def known_cause(reason: str) -> Cause | None:
    """The same, also of the beginning of a reason; None where it is in no words that are known."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(reason)), None)


def cause_names() -> tuple[str, ...]:
    """The classes of reasons, each once."""
    return tuple(dict.fromkeys([*(cause.name for _, cause in _CAUSES), _UNKNOWN.name]))

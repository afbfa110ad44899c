"""The classes of failure reasons, each with an explanation and advice: one table for all that report failures."""

import re
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """A class of failure reasons."""

    name: str
    """Label value in the metrics."""
    what: str
    advice: str


_BUSY: Final = "it is retried automatically; if that fails, replay it later"
_CAUSES: Final = tuple(  # patterns also match reasons that earlier versions wrote, which dead letters keep
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
            r"not (of|on) the public web|MEMEWAX_FETCH_ALLOW",
            "an address that is not of the public web",
            "allow it with MEMEWAX_FETCH_ALLOW, then replay",
        ),
        (
            "no_folder",
            r"^a local path",
            "a local path, and no folder is allowed",
            "set MEMEWAX_FETCH_FOLDER to the folder of the images, then replay",
        ),
        (
            "outside_folder",
            r"outside the folder",
            "a path that leaves the source's folder",
            "move the image into the folder, or name another one with MEMEWAX_FETCH_FOLDER, then replay",
        ),
        ("not_allowed", r"^HTTP (401|403|407)", "the server requires a login", "drop it: a retry cannot help"),
        ("gone", r"^HTTP (404|410)", "the server no longer has the image", "drop it: a retry cannot help"),
        ("server_busy", r"^HTTP (429|5[0-9][0-9])", "the server was too busy or broken", _BUSY),
        (
            "timeout",
            r"not there after|in time$|^incomplete after|^timeout while",
            "the server did not answer in time",
            _BUSY,
        ),
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
            "check the network and the address, then replay",
        ),
        (
            "bad_address",
            r"^not (a URL|a valid|gs://)|^no URL|^no way to fetch|^cannot fetch|^no scheme|^no file can",
            "the address is not one that can be fetched",
            "fix the address and send the post again",
        ),
        (
            "too_large",
            r"^more than [0-9N]+ bytes|pixels; at most|too many pixels|scans|of more than",
            "the image is too large",
            "raise the limit in docs/fetching.md, then replay",
        ),
        (
            "broken_image",
            r"^a broken",
            "the file is not a complete image",
            "repair the file, or wait until it is complete, then replay",
        ),
        (
            "no_image",
            r"^no (image|picture)|^not a supported image|^SVG|^a web page|^no bytes|which is not (read|supported)",
            "what is there is not an image",
            "put an image there, then replay",
        ),
        (
            "not_json",
            r"^not JSON|^expected a JSON object",
            "the line or message is not a JSON object",
            "each line is a JSON object with global_id and url",
        ),
        (
            "field_missing",
            r"^(global_id|url) is missing",
            "a required field is missing",
            "each post needs global_id and url",
        ),
        (
            "bad_field",
            r"is missing|must be|is no time|is not a time|nested more than|longer than|does not fit",
            "a field has an invalid value",
            "fix the message at its source and send it again",
        ),
        (
            "unknown_form",
            r"no known form|unknown form",
            "an entry of a service has a format that memewax does not know",
            "report it with the output of `memewax dead-letters show`",
        ),
        (
            "record_too_large",
            r"too many for the topic",
            "the record is too large for the topic",
            "raise the topic's max.message.bytes",
        ),
    )
)
_UNKNOWN: Final = Cause("stage_failed", "a stage failed on it", "see the log of the run; replay once it is fixed")


def cause_of(reason: str) -> Cause:
    """Return the cause that matches a failure's reason; the `stage_failed` cause if none does."""
    return known_cause(reason) or _UNKNOWN


def known_cause(reason: str) -> Cause | None:
    """Return the cause that matches a reason, or the beginning of one; None if none does."""
    return next((cause for pattern, cause in _CAUSES if pattern.search(reason)), None)


def cause_names() -> tuple[str, ...]:
    """Return the names of all causes, each once."""
    return tuple(dict.fromkeys([*(cause.name for _, cause in _CAUSES), _UNKNOWN.name]))

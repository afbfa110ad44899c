"""Dead letters read back from their file or topic, and marks of those that were replayed or dropped."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from connectors.blanked_lines import blank_lines
from connectors.chosen_endpoints import ReadSettings
from connectors.endpoint import SourceOptions
from connectors.endpoints import POSTS_FROM, endpoint
from connectors.sinks.rows import HEADER_PREFIX
from connectors.sources.parse import parsed
from core.errors import BadRecordError, WorldError
from core.locks import locked
from core.records import Message, Post, Removal
from core.removals import PostNames, Removed, ids_of
from core.times import parse_time

MARKS: Final = "dead-letters.marks.jsonl"
"""File of marks, in the folder that has `control/`."""
LOOKED_THROUGH: Final = 2**24
"""Bytes at the end of a file in which a flow blanks dead letters, in about a second; `memewax forget` does the rest."""
_BATCH: Final = 512
_NUMBER: Final = re.compile(r"[0-9]+")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")

Became = Literal["replayed", "dropped"]


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter read back from its file or topic."""

    id: str
    """Hash of the content, so that one written twice is deduplicated."""
    stage: str
    exception: str
    reason: str
    global_id: str | None
    time: datetime | None
    """When it was written; None if unknown."""
    message: Message

    @property
    def kind(self) -> str:
        """Return the reason without numbers and quoted text, to group dead letters by it."""
        return _NUMBER.sub("N", _QUOTED.sub("'…'", self.reason))


def read_dead_letters(address: str, settings: ReadSettings) -> Iterator[StoredDeadLetter]:
    """Yield the dead letters of a file or topic up to its current end; skip other lines. Raises `WorldError`."""
    source = endpoint(address, POSTS_FROM).source(SourceOptions(_BATCH), settings)
    for part in source.parts():
        reader = source.open(part, None)
        try:
            while not reader.ended:
                unit = reader.read()
                for message in unit.messages if unit else ():
                    try:
                        yield dead_letter_of(message)
                    except BadRecordError:
                        continue
        finally:
            reader.close()


def dead_letter_of(message: Message) -> StoredDeadLetter:
    """Parse a dead letter from a Kafka message (by its headers) or a line of a file; raises `BadRecordError`."""
    ours = {
        name.removeprefix(HEADER_PREFIX): (value or b"").decode(errors="replace")
        for name, value in message.headers
        if name.startswith(HEADER_PREFIX)
    }
    try:
        if ours:
            own = tuple(it for it in message.headers if not it[0].startswith(HEADER_PREFIX))
            return _dead_letter(ours, Message(message.value, ours["origin"], message.key, own))
        body = orjson.loads(message.value)
        return _dead_letter(body, message_of(body))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRecordError(f"not a dead letter: {error}") from None


def names_in(message: Message, global_id: str | None) -> PostNames:
    """Return the names by which the post of a dead letter may be deleted, as far as they are known."""
    post = parsed(message) if global_id else None
    return PostNames.of(post) if isinstance(post, Post) else PostNames(global_id or "", global_id or "")


def forget_removed(path: Path, removed: Removed) -> int:
    """Blank the dead letters of deleted posts at the end of a file; return how many. Raises `WorldError`."""

    def is_meant(line: bytes) -> bool:
        try:
            dead_letter = dead_letter_of(Message(line, str(path)))
        except BadRecordError:
            return False
        return removed.has_post(names_in(dead_letter.message, dead_letter.global_id))

    return blank_lines(path, is_meant, LOOKED_THROUGH)


def forget_dead_letters(path: Path, removals: Sequence[Removal]) -> int:
    """Blank the dead letters of deleted posts in a whole file; return how many. Raises `WorldError`."""
    named = {name for it in removals for name in ids_of(it)}

    def is_meant(line: bytes) -> bool:
        try:
            dead_letter = dead_letter_of(Message(line, str(path)))
        except BadRecordError:
            return False
        post = parsed(dead_letter.message)
        if isinstance(post, Post):
            return any(it.names(post) for it in removals)
        text = str(dead_letter.message.value, errors="replace")
        return dead_letter.global_id in named or any(name in text for name in named)

    return blank_lines(path, is_meant)


def body_of(dead_letter: StoredDeadLetter) -> dict[str, Any]:
    """Return the message of a dead letter as a JSON object; its bytes are base64."""
    message = dead_letter.message
    return {
        "origin": message.origin,
        "key": None if message.key is None else b64encode(message.key).decode(),
        "headers": [[name, None if it is None else b64encode(it).decode()] for name, it in message.headers],
        "value": b64encode(message.value).decode(),
    }


def message_of(body: Mapping[str, Any]) -> Message:
    """Parse a message from the output of `body_of`; raises `KeyError`, `TypeError` or `ValueError` if it is invalid."""
    key = body["key"]
    headers = tuple((str(name), None if it is None else b64decode(it)) for name, it in body["headers"])
    value = b64decode(body["value"], validate=True)
    return Message(value, str(body["origin"]), None if key is None else b64decode(key), headers)


class DeadLetterMarks:
    """Marks of dead letters as replayed or dropped: an append-only file of lines, shared by all commands."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / MARKS
        self._known: dict[str, tuple[Became, datetime]] = {}
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise WorldError(f"cannot read {self._file}: {error.strerror}") from None
        for line in lines:
            try:
                mark = orjson.loads(line)
                self._known[mark["id"]] = mark["became"], parse_time(mark["time"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue  # truncated by a crash: replaying its dead letter again is idempotent

    def of(self, dead_letter: StoredDeadLetter) -> Became | None:
        """Return the mark of a dead letter; None if it is open, or failed again after the mark."""
        known = self._known.get(dead_letter.id)
        if known is None or (dead_letter.time is not None and dead_letter.time > known[1]):
            return None
        return known[0]

    def add(self, dead_letters: Iterable[StoredDeadLetter], became: Became) -> None:
        """Mark dead letters; raises `WorldError`."""
        now = datetime.now(UTC)
        lines = []
        for it in dead_letters:
            self._known[it.id] = became, now
            lines.append(orjson.dumps({"id": it.id, "became": became, "time": now.isoformat()}) + b"\n")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._file.with_suffix(".lock")), self._file.open("ab") as file:
                file.write(b"".join(lines))
        except OSError as error:
            raise WorldError(f"cannot write {self._file}: {error.strerror}") from None


def _dead_letter(body: Mapping[str, Any], message: Message) -> StoredDeadLetter:
    stage, exception, reason = str(body["stage"]), str(body["exception"]), str(body["reason"])
    time = body.get("time")
    content = orjson.dumps([stage, exception, reason, message.origin]) + message.value
    return StoredDeadLetter(
        blake2b(content, digest_size=6).hexdigest(),
        stage,
        exception,
        reason,
        body.get("global_id"),
        None if time is None else parse_time(time),
        message,
    )

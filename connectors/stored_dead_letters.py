"""Dead letters read back: from their file or topic, with what became of each, which is kept beside the control log."""

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
"""What became of letters, in the folder that has `control/`."""
LOOKED_THROUGH: Final = 2**24
"""Bytes at the end of a file that a flow blanks letters in; it takes a second, and `memewax forget` does the others."""
_BATCH: Final = 512
_NUMBER: Final = re.compile(r"[0-9]+")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")

Became = Literal["replayed", "dropped"]


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as it was written."""

    id: str
    """Of what it says, so that one that was written twice is one."""
    stage: str
    exception: str
    reason: str
    global_id: str | None
    time: datetime | None
    """When it was written; None where that was not kept."""
    message: Message

    @property
    def kind(self) -> str:
        """Its reason without what differs from letter to letter."""
        return _NUMBER.sub("N", _QUOTED.sub("'…'", self.reason))


def read_dead_letters(address: str, settings: ReadSettings) -> Iterator[StoredDeadLetter]:
    """Read the letters of a file or a topic, to its end of now; what is none is left out. Raises `WorldError`."""
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
    """The letter in a message of a topic, whose headers tell, or in a line of a file; raises `BadRecordError`."""
    ours = {
        name.removeprefix(HEADER_PREFIX): (value or b"").decode(errors="replace")
        for name, value in message.headers
        if name.startswith(HEADER_PREFIX)
    }
    try:
        if ours:
            own = tuple(it for it in message.headers if not it[0].startswith(HEADER_PREFIX))
            return _letter(ours, Message(message.value, ours["origin"], message.key, own))
        told = orjson.loads(message.value)
        return _letter(told, message_of(told))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRecordError(f"no dead letter: {error}") from None


def names_in(message: Message, global_id: str | None) -> PostNames:
    """What the post of a dead letter may be taken back by, as far as the letter says."""
    post = parsed(message) if global_id else None
    return PostNames.of(post) if isinstance(post, Post) else PostNames(global_id or "", global_id or "")


def forget_removed(path: Path, removed: Removed) -> int:
    """Blank the letters at the end of a file whose posts were taken back; gives how many. Raises `WorldError`."""

    def is_meant(line: bytes) -> bool:
        try:
            letter = dead_letter_of(Message(line, str(path)))
        except BadRecordError:
            return False
        return removed.has_post(names_in(letter.message, letter.global_id))

    return blank_lines(path, is_meant, LOOKED_THROUGH)


def forget_dead_letters(path: Path, removals: Sequence[Removal]) -> int:
    """Blank the letters in a file whose posts are taken back; gives how many. Raises `WorldError`."""
    named = {name for it in removals for name in ids_of(it)}

    def is_meant(line: bytes) -> bool:
        try:
            letter = dead_letter_of(Message(line, str(path)))
        except BadRecordError:
            return False
        post = parsed(letter.message)
        if isinstance(post, Post):
            return any(it.names(post) for it in removals)
        return letter.global_id in named or any(name in str(letter.message.value, errors="replace") for name in named)

    return blank_lines(path, is_meant)


def body_of(letter: StoredDeadLetter) -> dict[str, Any]:
    """A letter's message as JSON has it."""
    message = letter.message
    return {
        "origin": message.origin,
        "key": None if message.key is None else b64encode(message.key).decode(),
        "headers": [[name, None if it is None else b64encode(it).decode()] for name, it in message.headers],
        "value": b64encode(message.value).decode(),
    }


def message_of(told: Mapping[str, Any]) -> Message:
    """The message that `body_of` tells; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    key = told["key"]
    headers = tuple((str(name), None if it is None else b64decode(it)) for name, it in told["headers"])
    value = b64decode(told["value"], validate=True)
    return Message(value, str(told["origin"]), None if key is None else b64decode(key), headers)


class DeadLetterMarks:
    """What became of letters: lines of a file, to which any command adds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / MARKS
        self._known: dict[str, tuple[Became, datetime]] = {}
        try:
            lines = self._file.read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise WorldError(f"{self._file}: {error.strerror}") from None
        for line in lines:
            try:
                told = orjson.loads(line)
                self._known[told["id"]] = told["became"], parse_time(told["time"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue  # a line that was cut off by a crash: its letter is replayed once more, which doubles nothing

    def of(self, letter: StoredDeadLetter) -> Became | None:
        """What became of a letter; None where it is open, or failed once more since."""
        known = self._known.get(letter.id)
        if known is None or (letter.time is not None and letter.time > known[1]):
            return None
        return known[0]

    def add(self, dead_letters: Iterable[StoredDeadLetter], became: Became) -> None:
        """Mark letters; raises `WorldError`."""
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
            raise WorldError(f"{self._file}: {error.strerror}") from None


def _letter(told: Mapping[str, Any], message: Message) -> StoredDeadLetter:
    stage, exception, reason = str(told["stage"]), str(told["exception"]), str(told["reason"])
    time = told.get("time")
    said = orjson.dumps([stage, exception, reason, message.origin]) + message.value
    return StoredDeadLetter(
        blake2b(said, digest_size=6).hexdigest(),
        stage,
        exception,
        reason,
        told.get("global_id"),
        None if time is None else parse_time(time),
        message,
    )

"""`memewax dead-letters`: letters are grouped, shown, replayed once and dropped."""

from pathlib import Path

import orjson
import pytest

from connectors.causes import cause_of
from connectors.letters import letter_of
from connectors.sinks.rows import headers_of_dead_letter, json_of_dead_letter
from core.errors import BadRecordError
from core.records import DeadLetter, Message
from tests.commands.typed import Memewax

GOOD = b'{"global_id": "1-reddit", "url": "1.png"}'
OLD = "2026-01-01T00:00:00+00:00"


@pytest.fixture
def letters(tmp_path: Path, memewax: Memewax) -> Path:
    """Of two lines without a url, one of no JSON, and an old one."""
    lines = [GOOD, b'{"global_id": "a"}', b'{"global_id": "b"}', b"{"]
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 0
    file = tmp_path / "store.dead-letters.jsonl"
    message = Message(GOOD, "file:/posts.jsonl@0")
    with file.open("ab") as out:
        out.write(json_of_dead_letter(DeadLetter(message, "fetch", "FetchError", "HTTP 404", "1-reddit"), OLD) + b"\n")
    return file


@pytest.mark.usefixtures("letters")
def test_they_are_counted_by_reason_with_what_to_do(memewax: Memewax) -> None:
    found = memewax("dead-letters", "list", "--store", "store", "--json").summary()
    assert found["letters"] == 4
    counts = [(it["letters"], it["stage"], it["reason"].partition(":")[0]) for it in found["groups"]]
    assert counts[0] == (2, "parse", "url is missing")
    assert set(counts[1:]) == {(1, "parse", "not JSON in UTF-N"), (1, "fetch", "HTTP N")}
    assert all(it["cause"] and it["what to do"] for it in found["groups"])
    shown = memewax("dead-letters", "list", "--from", "store.dead-letters.jsonl").out
    assert "url is missing" in shown


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--stage", "parse"), 3),
        (("--reason", "URL is"), 2),
        (("--reason", "no such picture"), 1),
        (("--since", "1d"), 3),
        (("--since", "2025-12-31"), 4),
        (("--stage", "fetch", "--since", "1h"), 0),
    ],
)
def test_options_choose_among_them(options: tuple[str, ...], count: int, memewax: Memewax) -> None:
    assert memewax("dead-letters", "list", "--store", "store", "--json", *options).summary()["letters"] == count


@pytest.mark.usefixtures("letters")
def test_one_is_shown_whole(memewax: Memewax) -> None:
    (found,) = memewax("dead-letters", "show", "1-reddit", "--store", "store", "--json").summary()["letters"]
    assert (found["message"], found["became"], found["time"]) == (GOOD.decode(), "open", OLD)
    by_id = memewax("dead-letters", "show", found["id"], "--store", "store", "--json").summary()["letters"]
    assert by_id == [found]
    assert memewax("dead-letters", "show", "nobody", "--store", "store").code == 2


@pytest.mark.usefixtures("letters")
def test_what_is_dropped_is_not_replayed(memewax: Memewax) -> None:
    dropped = memewax("dead-letters", "drop", "--store", "store", "--stage", "fetch", "--json").summary()
    assert dropped == {"dropped": 1}
    assert memewax("dead-letters", "list", "--store", "store", "--json").summary()["letters"] == 3
    assert memewax("dead-letters", "list", "--store", "store", "--all", "--json").summary()["letters"] == 4


def test_they_are_replayed_once_and_what_fails_again_is_listed_again(letters: Path, memewax: Memewax) -> None:
    first = memewax("dead-letters", "replay", "--store", "store", "--json").summary()
    assert first == {"replayed": 4, "requests": 1, "flow runs": False}
    again = memewax("dead-letters", "replay", "--store", "store", "--json").summary()
    assert again["replayed"] == 0
    before = len(letters.read_bytes().splitlines())
    letters.write_bytes(letters.read_bytes())
    lines = letters.read_bytes().splitlines(keepends=True)
    letters.write_bytes(b"".join(lines[:-1]))  # the one that the flow did not write
    assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 3, (
        "what is sent again fails again, and nothing else was read"
    )
    assert len(letters.read_bytes().splitlines()) == before - 1 + 3
    assert memewax("dead-letters", "list", "--store", "store", "--json").summary()["letters"] == 3


def test_a_letter_is_read_back_from_a_line_and_from_headers() -> None:
    message = Message(b"\xff{", "kafka:posts/0@17", b"key", (("own", b"1"), ("empty", None)))
    letter = DeadLetter(message, "parse", "BadRecordError", "not JSON", None)
    line = letter_of(Message(json_of_dead_letter(letter, OLD), "file:x@0"))
    sent = letter_of(Message(message.value, "kafka:dead/0@1", message.key, headers_of_dead_letter(letter, OLD)))
    assert line == sent
    assert line.message == message
    assert line.time is not None
    for broken in (b"{}", b"[]", b"x", orjson.dumps({"stage": 1, "value": "?"})):
        with pytest.raises(BadRecordError):
            letter_of(Message(broken, "file:x@0"))


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("HTTP 503", "the server was too busy or broken"),
        ("HTTP 404", "the server has no such picture any more"),
        ("no such file", "the picture is not where the post says"),
        ("a broken PNG picture: image file is truncated", "the file is no whole picture"),
        ("global_id is missing", "a field is not as a post has it"),
        ("whatever", "a stage failed on it"),
    ],
)
def test_a_reason_has_a_cause_in_words(reason: str, what: str) -> None:
    assert cause_of(reason).what == what

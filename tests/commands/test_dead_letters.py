"""`memewax dead-letters`: letters are grouped, shown, replayed once and dropped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from connectors.sinks.rows import headers_of_dead_letter, json_of_dead_letter
from connectors.stored_dead_letters import MARKS, dead_letter_of
from core.causes import cause_of
from core.errors import BadRecordError
from core.locks import locked
from core.records import DeadLetter, Message
from tests.commands.typed import Memewax

GOOD = b'{"global_id": "1-reddit", "url": "1.png"}'
OLD = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, made once, since a run is a process."""
    folder = tmp_path_factory.mktemp("made") / "first"
    folder.mkdir()
    lines = [GOOD, b'{"global_id": "a"}', b'{"global_id": "b"}', b"{"]
    (folder / "posts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    command = [sys.executable, "-m", "memewax", "run", "--from", "posts.jsonl", "--to", "store"]
    subprocess.run(command, cwd=folder, env={**os.environ, "MEMEWAX_MODELS": "fake"}, check=True)
    return folder.rename(folder.with_name("moved"))


@pytest.fixture
def letters(made: Path, tmp_path: Path) -> Path:
    """Of two lines without a url, one of no JSON, and an old one; the project was moved after the run."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
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
        (("--reason", "no longer has the image"), 1),
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


def without_the_last_line(letters: Path) -> int:
    """The one that the flow did not write; gives how many are left."""
    lines = letters.read_bytes().splitlines(keepends=True)
    letters.write_bytes(b"".join(lines[:-1]))
    return len(lines) - 1


def test_without_a_flow_they_are_replayed_at_once_and_what_fails_again_is_listed_again(
    letters: Path, memewax: Memewax, tmp_path: Path
) -> None:
    there = without_the_last_line(letters)
    with (tmp_path / "posts.jsonl").open("ab") as posts:
        posts.write(b'{"global_id": "2-reddit", "url": "2.png"}\n')
    replay = ("dead-letters", "replay", "--store", "store", "--stage", "parse", "--json")
    first = memewax(*replay).summary()
    assert (first["replayed"], first["requests"]) == (3, 1)
    assert first["what became of them"] == "0 records written, 3 new dead letters"
    assert len(letters.read_bytes().splitlines()) == there + 3
    assert memewax("dead-letters", "list", "--store", "store", "--json").summary()["letters"] == 3
    assert memewax("store", "compact", "--store", "store").code == 0, "the request before it is marked as done"
    assert memewax("run", "--from", "posts.jsonl", "--to", "store", "--json").summary()["posts"] == 1, (
        "the replay read nothing of the source"
    )


def test_where_the_flow_is_not_known_or_runs_the_letters_wait_for_it(letters: Path, memewax: Memewax) -> None:
    without_the_last_line(letters)
    note = Path("store.recovery", "flow.json")
    told = note.read_bytes()
    with locked(Path("store", "posts.lock")):
        assert "the running flow replays them" in memewax("dead-letters", "replay", "--store", "store").err
    assert "store.dead-letters.jsonl has no open dead letters" in memewax("dead-letters", "replay").err
    Path("store", MARKS).unlink()
    note.unlink()
    assert "the next `memewax run` replays them" in memewax("dead-letters", "replay", "--store", "store").err
    Path("store", MARKS).unlink()
    note.write_bytes(told.replace(b'"./store"', b'"./other"'))
    assert "does not write to store" in memewax("dead-letters", "replay", "--store", "store").err


def test_a_letter_is_read_back_from_a_line_and_from_headers() -> None:
    message = Message(b"\xff{", "kafka:posts/0@17", b"key", (("own", b"1"), ("empty", None)))
    letter = DeadLetter(message, "parse", "BadRecordError", "not JSON", None)
    line = dead_letter_of(Message(json_of_dead_letter(letter, OLD), "file:x@0"))
    sent = dead_letter_of(Message(message.value, "kafka:dead/0@1", message.key, headers_of_dead_letter(letter, OLD)))
    assert line == sent
    assert line.message == message
    assert line.time is not None
    for broken in (b"{}", b"[]", b"x", orjson.dumps({"stage": 1, "value": "?"})):
        with pytest.raises(BadRecordError):
            dead_letter_of(Message(broken, "file:x@0"))


@pytest.mark.parametrize(
    ("reason", "what"),
    [
        ("HTTP 503", "the server was too busy or broken"),
        ("HTTP 404", "the server no longer has the image"),
        ("incomplete after 10 s", "the server did not answer in time"),
        ("not a supported image: expected JPEG", "what is there is not an image"),
        ("no picture that can be read: expected PNG", "what is there is not an image"),  # as version 0.1 said
        ("9000 by 9000 pixels; at most 64000000 in all are decoded", "the image is too large"),
        ("cannot fetch ftp:// URLs", "the address is not one that can be fetched"),
        ("its host or port is not on the public web", "an address that is not of the public web"),
        ("no such file", "the image is not where the post says"),
        ("a broken PNG image: image file is truncated", "the file is not a complete image"),
        ("global_id is missing", "a required field is missing"),
        ("whatever", "a stage failed on it"),
    ],
)
def test_a_reason_has_a_cause_in_words(reason: str, what: str) -> None:
    assert cause_of(reason).what == what

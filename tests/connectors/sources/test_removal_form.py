"""Deletes, and accounts that hide their posts: told from posts, read, sampled away never."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.endpoints import POSTS_FROM, endpoint
from connectors.fetching.prefetch import without_removed
from connectors.sources.parse import parsed
from connectors.sources.removal_form import tombstone
from connectors.sources.sampled import place_of
from core.records import DeadLetter, Message, Post, Removal
from dataflows.all_settings import Settings
from tests.factories import message, post

TIME = "2026-07-04T14:38:09+00:00"
THEN = datetime(2026, 7, 4, 14, 38, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [{"global_id": "1-a", "deleted": 1}, {"global_id": "1-a", "deleted": "yes"}, {"author": "a", "hidden": "true "}],
)
def test_a_flag_that_is_none_is_said(body: dict[str, Any]) -> None:
    found = parsed(message(body))
    assert isinstance(found, DeadLetter)
    assert "must be true or false, found" in found.reason


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"global_id": "1-a", "deleted": True, "time": TIME}, {"global_id": "1-a", "time": THEN}),
        ({"post_id": "1-a", "deleted": True}, {"post_id": "1-a"}),
        ({"post_id": "1-a", "deleted": True, "except": ["1_2-a"]}, {"post_id": "1-a", "kept": ("1_2-a",)}),
        ({"url": "https://x/1.png", "deleted": "true"}, {"url": "https://x/1.png"}),
        ({"global_id": "1-a", "url": "u", "desc": "hi", "deleted": True}, {"global_id": "1-a"}),
        ({"author": "ann", "source": "a", "deleted": True}, {"author": "ann", "source": "a"}),
        (
            {"author": "ann", "source": "a", "hidden": True, "time": TIME},
            {"author": "ann", "source": "a", "hidden": True, "time": THEN},
        ),
        ({"author": "ann", "source": "a", "hidden": False}, {"author": "ann", "source": "a", "hidden": False}),
    ],
)
def test_what_takes_back_is_read(body: dict[str, Any], named: dict[str, Any]) -> None:
    sent = message(body)
    assert parsed(sent) == Removal(sent, **named)
    assert place_of(sent) is None


@pytest.mark.parametrize(
    "body",
    [
        {"global_id": "1-a", "url": "u", "deleted": False},
        {"global_id": "1-a", "url": "u", "hidden": False},  # as each post of Reddit says
        {"global_id": "1-a", "url": "u", "author": "ann", "source": "a", "hidden": True},
    ],
)
def test_a_post_that_says_something_like_it_is_a_post(body: dict[str, Any]) -> None:
    assert isinstance(parsed(message(body)), Post)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"deleted": True}, "names nothing"),
        ({"author": "ann", "deleted": True}, "names nothing"),
        ({"author": "ann", "hidden": True}, "names nothing"),
        ({"global_id": 7, "deleted": True}, "global_id of a delete must be a string"),
        ({"global_id": "x" * 3000, "deleted": True}, "at most 2048"),
        ({"global_id": "1", "deleted": True, "time": "soon"}, "time is no time"),
        ({"post_id": "1", "deleted": True, "except": "1_2"}, "a list of at most"),
    ],
)
def test_what_names_nothing_is_a_dead_letter(body: dict[str, Any], told: str) -> None:
    found = parsed(message(body))
    assert isinstance(found, DeadLetter)
    assert told in found.reason


def test_a_key_without_a_value_names_a_post_or_an_image() -> None:
    found = parsed(Message(tombstone(b"1_2-a", 1_783_175_889_000), "kafka:posts/0@7", b"1_2-a"))
    assert isinstance(found, Removal)
    assert (found.global_id, found.post_id, found.time) == ("1_2-a", "1_2-a", THEN)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_any_file_may_hold_them(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, Any]] = [
        {"global_id": "1-a", "url": "https://x/1.png", "deleted": None},
        {"global_id": "1-a", "url": None, "deleted": True},
    ]
    if name.endswith(".csv"):
        lines = ["global_id,url,deleted", "1-a,https://x/1.png,", "1-a,,true"]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    else:
        (tmp_path / name).write_bytes(b"\n".join(orjson.dumps(it) for it in rows))
    settings = Settings(source=(str(tmp_path / name),))
    found = endpoint(settings.source[0], POSTS_FROM)
    source = found.source(settings.options_of(found), settings)
    items = []
    for part in source.parts():
        reader = source.open(part, None)
        while not reader.ended:
            unit = reader.read()
            items += [parsed(it) for it in unit.messages] if unit else []
        reader.close()
    assert [type(it) for it in items] == [Post, Removal]
    assert isinstance(items[1], Removal)
    assert items[1].global_id == "1-a"


def test_posts_that_are_taken_back_beside_them_are_not_looked_at() -> None:
    early, late = post("1-a", created_time="2026-07-04T14:00:00Z"), post("1-a", created_time="2026-07-04T15:00:00Z")
    gone = Removal(message({}), global_id="1-a", time=THEN)
    hidden = Removal(message({}), author="ann", source="a", hidden=True)
    other = post("2-a", author="ann", source="a")
    assert without_removed([early, late, other, gone, hidden]) == [late, other, gone, hidden]
    assert without_removed([gone, early]) == [gone, early]  # what knows deletes for longer decides

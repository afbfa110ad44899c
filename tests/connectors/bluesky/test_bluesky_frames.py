"""Frames of Jetstream."""

from typing import Any

import orjson
import pytest

from connectors.bluesky.bluesky_frames import BadFrameError, Filters, Frame, read_frame
from connectors.sources.parse import parse_post, parsed
from core.records import Message, Removal
from tests.folders import SHARED
from tests.jetstream import START, account, commit, image, images

REAL = SHARED / "data/api/bluesky"


def read(frame: Any, **filters: frozenset[str]) -> Frame:
    return read_frame(orjson.dumps(frame), Filters(**filters), "https://cdn")


def test_an_image_is_a_post() -> None:
    embed = {"$type": "app.bsky.embed.images", "images": [image("bafkone", "a cat")]}
    frame = commit(1, embed=embed, langs=["en"], tags=["Memes"], labels={"values": [{"val": "porn"}]})
    post = parse_post(Message(orjson.dumps(read(frame).posts[0]), ""))
    assert post.global_id == "did:plc:a/p1-bluesky"
    assert post.url == "https://cdn/img/feed_fullsize/plain/did:plc:a/bafkone@jpeg"
    assert (post.author, post.source, post.description) == ("did:plc:a", "bluesky", "No 1\na cat")
    assert post.created_time == "2026-07-04T14:38:09+00:00"  # not what the author says
    assert post.whole_id == "did:plc:a/p1-bluesky"
    assert post.extra == {
        "permalink": "https://bsky.app/profile/did:plc:a/post/p1",
        "nsfw": True,
        "said_time": "1999-01-01T00:00:00Z",
        "langs": ["en"],
        "tags": ["Memes"],
        "labels": ["porn"],
        "cid": "bafkone",
        "alt": "a cat",
    }


QUOTE = {"$type": "app.bsky.embed.record", "record": {"uri": "at://q", "cid": "c"}}


@pytest.mark.parametrize(
    ("embed", "ids"),
    [
        (images("x", "y"), ["p1_1", "p1_2"]),
        ({"$type": "app.bsky.embed.gallery", "items": [image(f"g{n}") for n in range(20)]}, [f"p1_{n}" for n in range(1, 21)]),
        ({"$type": "app.bsky.embed.recordWithMedia", "record": QUOTE, "media": images("x")}, ["p1"]),
        ({"$type": "app.bsky.embed.images", "images": [{"alt": "", "image": {"cid": "old", "mimeType": "image/png"}}]}, ["p1"]),
        ({"$type": "app.bsky.embed.images", "images": [image("x"), {"alt": "", "image": None}, image("z")]}, ["p1_1", "p1_3"]),
    ],
)  # fmt: skip
def test_every_embed_with_images_gives_a_post_for_each(embed: Any, ids: list[str]) -> None:
    posts = read(commit(1, embed=embed)).posts
    assert [it["global_id"] for it in posts] == [f"did:plc:a/{name}-bluesky" for name in ids]
    assert {it["post_id"] for it in posts} == {"did:plc:a/p1-bluesky"}
    assert [it.get("quoted") for it in posts] == ["at://q" if "record" in embed else None] * len(ids)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (commit(1, embed=None), "text"),
        (commit(1, embed=QUOTE), "text"),
        (commit(1, embed={"$type": "app.bsky.embed.external"}), "link"),
        (commit(1, embed={"$type": "app.bsky.embed.video"}), "video"),
        (commit(1, embed={"$type": "app.bsky.embed.recordWithMedia", "media": {"$type": "app.bsky.embed.video"}}), "video"),
        (account("did:plc:a", 1, active=False, status="desynchronized"), None),
        ({"did": "d", "time_us": START, "kind": "identity", "identity": {}}, None),
        (commit(1) | {"commit": commit(1)["commit"] | {"collection": "app.bsky.feed.like"}}, None),
    ],
)  # fmt: skip
def test_what_gives_no_post_says_why(frame: Any, reason: str | None) -> None:
    found = read(frame)
    assert not found.posts
    assert not found.removals
    assert found.reason == reason


POST, ACCOUNT = {"post_id": "did:plc:a/p1-bluesky"}, {"author": "did:plc:a", "source": "bluesky"}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (commit(1, "delete"), {**POST, "deleted": True}),
        (commit(1, "update", embed=None), {**POST, "deleted": True}),
        (commit(1, "update"), {**POST, "deleted": True, "except": ["did:plc:a/p1-bluesky"]}),
        (account("did:plc:a", 1, active=False, status="takendown"), {**ACCOUNT, "deleted": True}),
        (account("did:plc:a", 1, active=False, status="deleted"), {**ACCOUNT, "deleted": True}),
        (account("did:plc:a", 1, active=False, status="deactivated"), {**ACCOUNT, "hidden": True}),
        (account("did:plc:a", 1, active=False, status="suspended"), {**ACCOUNT, "hidden": True}),
        (account("did:plc:a", 1, active=True), {**ACCOUNT, "hidden": False}),
    ],
)
def test_what_is_taken_back_is_handed_on_with_its_time(frame: Any, said: Any) -> None:
    found = read(frame)
    assert found.removals == [{**said, "time": "2026-07-04T14:38:09+00:00"}]
    assert isinstance(parsed(Message(orjson.dumps(found.removals[0]), "")), Removal)
    assert found.key


def test_an_edit_that_the_filters_leave_out_takes_away_what_it_was() -> None:
    found = read(commit(1, "update", langs=["fr"]), langs=frozenset({"en"}))
    assert (found.posts, found.removals[0]["post_id"]) == ((), POST["post_id"])


def test_an_edit_is_the_whole_post_again_with_its_time() -> None:
    post = read(commit(1, "update", seconds=9)).posts[0]
    assert (post["global_id"], post["edited"]) == ("did:plc:a/p1-bluesky", "2026-07-04T14:38:17+00:00")


@pytest.mark.parametrize(
    ("filters", "record", "is_wanted"),
    [
        ({"langs": frozenset({"de", "en"})}, {"langs": ["en-GB"]}, True),
        ({"langs": frozenset({"de"})}, {"langs": ["en"]}, False),
        ({"langs": frozenset({"de"})}, {}, False),
        ({"tags": frozenset({"memes"})}, {"tags": ["Memes"]}, True),
        ({"tags": frozenset({"memes"})}, {"facets": [{"features": [{"$type": "x", "tag": "MEMES"}]}]}, True),
        ({"tags": frozenset({"memes"})}, {"tags": ["cats"]}, False),
        ({"without_labels": frozenset({"porn"})}, {"labels": {"values": [{"val": "porn"}]}}, False),
        ({"without_labels": frozenset({"porn"})}, {"labels": None}, True),
        ({"dids": frozenset({"did:plc:b"})}, {}, False),
    ],
)
def test_filters(filters: dict[str, frozenset[str]], record: Any, is_wanted: bool) -> None:
    assert bool(read(commit(1, **record), **filters).posts) == is_wanted
    if "dids" not in filters:  # a delete does not say what it deletes
        assert read(commit(1, "delete"), **filters).deleted


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}", b'{"did":"a","time_us":"x","kind":"commit"}',
     b'{"did":"a","time_us":1,"kind":"commit"}', b'{"did":"a","time_us":1,"kind":"commit","commit":{"operation":"create"}}',
     b'{"did":"a","time_us":99999999999999999999,"kind":"identity"}',
     orjson.dumps(commit(1) | {"commit": commit(1)["commit"] | {"record": 7}})],
)  # fmt: skip
def test_garbage_is_told(data: bytes) -> None:
    with pytest.raises(BadFrameError):
        read_frame(data, Filters(), "https://cdn")


@pytest.mark.parametrize(
    "embed", [7, [], {"$type": 3}, {"$type": "app.bsky.embed.images", "images": 7}, {"$type": "app.bsky.embed.images"}]
)
def test_an_odd_embed_is_no_image(embed: Any) -> None:
    assert not read(commit(1, embed=embed)).posts


@pytest.mark.skipif(not REAL.exists(), reason="recorded frames are not here")
def test_real_frames_are_understood() -> None:
    lines = [line for path in sorted(REAL.iterdir()) for line in path.read_bytes().splitlines()]
    frames = [read_frame(line, Filters(), "https://cdn.bsky.app") for line in lines]
    posts = [post for frame in frames for post in frame.posts]
    assert len(posts) == 2
    assert all(parse_post(Message(orjson.dumps(post), "")).url.endswith("@jpeg") for post in posts)
    assert [it["post_id"] for frame in frames for it in frame.removals if it.get("deleted")]

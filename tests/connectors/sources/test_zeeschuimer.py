"""Items of Zeeschuimer: each platform's own form, as far as it is known, and what is not known is said."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from connectors.sources.parse import parse_post
from connectors.sources.row_shapes import Collected, shape_of
from connectors.sources.zeeschuimer import PLATFORMS, collected_posts, is_collected
from core.records import Message
from memewax.commands.app import app

CANDIDATES = {"image_versions2": {"candidates": [{"url": "https://cdn/large.jpg", "width": 1080}, {"url": "small"}]}}
FILM = {"media_type": 2, "video_versions": [{"url": "https://cdn/film.mp4"}], **CANDIDATES}


def item(platform: str, **data: Any) -> dict[str, Any]:
    return {
        "nav_index": "1_0", "item_id": "x", "timestamp_collected": 1_767_225_600_000, "source_platform": platform,
        "source_platform_url": f"https://www.{platform}/", "source_url": "https://api/", "data": data,
    }  # fmt: skip


def insta(**data: Any) -> dict[str, Any]:
    usual = {
        "code": "Cx",
        "media_type": 1,
        "caption": {"text": "hi"},
        "user": {"username": "ann"},
        "taken_at": 1767000000,
    }
    return item("instagram.com", **usual | {"like_count": 7} | data)


def tweet(**legacy: Any) -> dict[str, Any]:
    usual = {
        "created_at": "Mon Dec 29 09:20:00 +0000 2025", "full_text": "look", "favorite_count": 3, "lang": "en",
        "id_str": "12", "extended_entities": {"media": [{"type": "photo", "media_url_https": "https://pbs/a.jpg"}]},
    }  # fmt: skip
    user = {"user_results": {"result": {"legacy": {"screen_name": "ann"}}}}
    return item("x.com", rest_id="12", core=user, legacy=usual | legacy)


def gag(**data: Any) -> dict[str, Any]:
    images = {
        "image460": {"url": "https://9/460.jpg", "width": 460, "height": 460},
        "image700": {"url": "https://9/700.jpg", "width": 700, "height": 700},
        "image460sv": {"url": "https://9/f.mp4", "width": 900, "height": 900, "hasAudio": 0},
    }
    usual = {"id": "aG", "title": "ha", "type": "Photo", "images": images, "creator": None, "creationTs": 1767000000}
    return item("9gag.com", **usual | {"upVoteCount": 9, "downVoteCount": 2, "tags": [{"key": "cat"}]} | data)


GRAPH = {
    "__typename": "GraphSidecar", "shortcode": "Gx", "owner": {"username": "bob"}, "taken_at_timestamp": 1767000000,
    "edge_media_to_caption": {"edges": [{"node": {"text": "two"}}]}, "edge_media_preview_like": {"count": 4},
    "edge_sidecar_to_children": {
        "edges": [
            {"node": {"__typename": "GraphImage", "display_url": "https://g/1.jpg"}},
            {"node": {"__typename": "GraphVideo", "display_url": "https://g/2.jpg", "is_video": True}},
            {"node": {"__typename": "GraphImage", "display_url": "https://g/3.jpg"}},
        ]
    },
}  # fmt: skip
IMGUR: dict[str, Any] = {
    "id": "im", "title": "cat", "description": "", "created_at": "2025-12-29T09:20:00Z", "account_id": 5,
    "point_count": 8, "url": "https://imgur.com/gallery/im", "cover": {"type": "image", "url": "https://i/1.png"},
}  # fmt: skip
PIN: dict[str, Any] = {
    "id": "88", "title": " A ", "description": "b", "images": {"orig": {"url": "https://p/o.jpg"}},
    "pinner": {"username": "ann"}, "board": {"name": "memes"}, "created_at": "Mon, 29 Dec 2025 09:20:00 +0000",
}  # fmt: skip
TRUTH: dict[str, Any] = {
    "id": "99", "created_at": "2025-12-29T09:20:00.000Z", "content": "<p>so &amp; so</p>",
    "account": {"username": "ann"}, "media_attachments": [{"type": "image", "url": "https://t/1.jpg"}],
}  # fmt: skip
TIKTOK: dict[str, Any] = {
    "id": "77", "desc": "d", "createTime": 1767000000, "author": {"uniqueId": "ann"}, "stats": {"diggCount": 6},
    "imagePost": {"images": [{"imageURL": {"urlList": ["https://k/1.jpg", "other"]}}, {"imageURL": {"urlList": ["https://k/2.jpg"]}}]},
    "video": {},
}  # fmt: skip

Told = tuple[str, str, str, str, int]


@pytest.mark.parametrize(
    ("row", "posts"),
    [
        (insta(**CANDIDATES), [("Cx-instagram", "https://cdn/large.jpg", "ann", "hi", 7)]),
        (
            insta(media_type=8, carousel_media=[{"media_type": 1, **CANDIDATES}, FILM, {"media_type": 1, **CANDIDATES}]),
            [
                ("Cx_1-instagram", "https://cdn/large.jpg", "ann", "hi", 7),
                ("Cx_3-instagram", "https://cdn/large.jpg", "ann", "hi", 7),
            ],
        ),
        (
            item("instagram.com", **GRAPH),
            [
                ("Gx_1-instagram", "https://g/1.jpg", "bob", "two", 4),
                ("Gx_3-instagram", "https://g/3.jpg", "bob", "two", 4),
            ],
        ),
        (
            item("threads.net", code="T", user={"username": "ann"}, caption=None, carousel_media=None, taken_at=1767000000, **CANDIDATES),
            [("T-threads", "https://cdn/large.jpg", "ann", "", 0)],
        ),
        (
            item("tiktok.com", **TIKTOK),
            [("77_1-tiktok", "https://k/1.jpg", "ann", "d", 6), ("77_2-tiktok", "https://k/2.jpg", "ann", "d", 6)],
        ),
        (tweet(), [("12-twitter", "https://pbs/a.jpg", "ann", "look", 3)]),
        (item("twitter.com", tweet=tweet()["data"]), [("12-twitter", "https://pbs/a.jpg", "ann", "look", 3)]),
        (gag(), [("aG-9gag", "https://9/700.jpg", "", "ha", 7)]),
        (item("imgur.com", **IMGUR), [("im-imgur", "https://i/1.png", "5", "cat", 8)]),
        (item("pinterest.com", **PIN), [("88-pinterest", "https://p/o.jpg", "ann", "A\nb", 0)]),
        (item("truthsocial.com", **TRUTH), [("99-truthsocial", "https://t/1.jpg", "ann", "so & so", 0)]),
    ],
)  # fmt: skip
def test_each_image_is_a_post(row: dict[str, Any], posts: list[Told]) -> None:
    shape = shape_of([row], (), is_table=False)
    assert isinstance(shape, Collected)
    found = [parse_post(Message(orjson.dumps(it), "")) for it in shape.posts(row)]
    assert [(it.global_id, it.url, it.author, it.description, it.score) for it in found] == posts
    assert {it.created_time[:10] for it in found} == {"2025-12-29"}
    assert {it.ingestion_time.year for it in found if it.ingestion_time} == {2026}
    assert {it.source for it in found} <= set(PLATFORMS)
    if len(posts) > 1:
        assert len({it.whole_id for it in found}) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (insta(**FILM), "video"),
        (insta(product_type="ad", **CANDIDATES), "other"),
        (item("tiktok.com", id="1", video={"cover": "x"}, author="ann"), "video"),
        (tweet(extended_entities={}), "text"),
        (tweet(extended_entities={"media": [{"type": "video", "media_url_https": "x"}]}), "video"),
        (tweet(retweeted_status_result={"result": {}}), "other"),
        (gag(type="Animated"), "video"),
        (gag(promoted=1), "other"),
        (item("imgur.com", **IMGUR | {"cover": {"type": "video", "url": "x"}}), "video"),
        (item("pinterest.com", **PIN, isVideo=True), "video"),
        (item("truthsocial.com", **TRUTH | {"media_attachments": []}), "text"),
        (item("linkedin.com", text="hi"), "platform that is not known"),
    ],
)
def test_what_is_no_image_says_why(row: dict[str, Any], reason: str) -> None:
    assert is_collected(row)
    assert collected_posts(row) == reason


@pytest.mark.parametrize(
    "row", [insta(media_type=1, code=None) | {"data": {"odd": 1}}, item("9gag.com", type="Photo", images={}, id="1")]
)
def test_a_form_that_has_changed_becomes_a_dead_letter(row: dict[str, Any]) -> None:
    (found,) = Collected().posts(row)
    assert isinstance(found, dict)
    assert "data of this item" in found["wrong"]
    assert found["item"]["source_platform"]


def test_inspect_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "items.ndjson"
    rows = [insta(**CANDIDATES), insta(**FILM), item("linkedin.com", text="hi"), {**insta(), "data": {"odd": 1}}]
    path.write_bytes(b"\n".join(orjson.dumps(it) for it in rows))
    done = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    told = orjson.loads(done.stdout)
    assert told["posts"] == 1
    assert told["skipped"] == {"video": 1, "platform that is not known": 1}
    assert sum(told["reasons"].values()) == 1
    assert "instagram" in told["places"][0]["rows"]

"""Every form in which a service has ever sent a post becomes posts, or a reason why it is none."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson
import pytest
from pydantic import ValidationError

from connectors.services import imgur, reddit, tumblr
from connectors.services.api_web import TransientError
from connectors.services.listing import ListingItem, ServicePost, as_json, posts_of, why_strange
from connectors.services.markup import read_html
from connectors.sources.parse import parse_post
from core.errors import BadRecordError
from core.records import Message
from tests.folders import SHARED
from tests.services import imgur_album, imgur_image, reddit_gallery, reddit_post, tumblr_post

NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
RECORDED: Final = SHARED / "data" / "api"
SERVICES: Final[dict[str, ModuleType]] = {"reddit": reddit, "imgur": imgur, "tumblr": tumblr}
FILES: Final = sorted(path for path in RECORDED.glob("*/*.json"))


def posts(service: str, *bodies: Any) -> list[dict[str, Any]]:
    """The posts of items, or fails."""
    found = []
    for body in bodies:
        it = SERVICES[service].parse_item(ListingItem("x", 0.0, body))
        assert isinstance(it, ServicePost), it
        found += posts_of(it, service, NOW)
    return [dict(body) for body in found]


def reason(service: str, body: Any) -> str:
    found = SERVICES[service].parse_item(ListingItem("x", 0.0, body))
    assert isinstance(found, str), found
    return found


# What was recorded


@pytest.mark.skipif(not FILES, reason="no ../shared/data/api")
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_recorded_answer_parses(path: Path) -> None:
    module, body = SERVICES[path.parent.name], orjson.loads(path.read_bytes())
    if body.get("success") is False:
        with pytest.raises(TransientError):
            module.page_of(body)
        return
    page = module.page_of(body)
    assert page.items
    assert len({item.id for item in page.items}) == len(page.items)
    for item in page.items:
        assert item.created > 1e9 or item.body.get("kind") == "t5"
        found = module.parse_item(item)
        if isinstance(found, str):
            continue
        for one in posts_of(found, path.parent.name, NOW):
            post = parse_post(Message(as_json(one), "here"))
            assert post.url.startswith(("http://", "https://"))
            assert "&amp;" not in post.url
            assert post.global_id.endswith(f"-{path.parent.name}")
            assert datetime.fromisoformat(post.created_time).tzinfo is not None


@pytest.mark.skipif(not FILES, reason="no ../shared/data/api")
def test_recorded_answers_have_as_many_images_as_people_count_in_them() -> None:
    counted: Counter[str] = Counter()
    for name in ("reddit/aww_hot_2019_04", "imgur/gallery_hot_2018_02", "tumblr/api-old-photo-response_0"):
        service = name.partition("/")[0]
        for item in SERVICES[service].page_of(orjson.loads((RECORDED / f"{name}.json").read_bytes())).items:
            found = SERVICES[service].parse_item(item)
            counted[f"{service} {found}" if isinstance(found, str) else service] += (
                1 if isinstance(found, str) else len(posts_of(found, service, NOW))
            )
    # 16 images, 8 videos of Reddit's and a .gifv, and a link to a subreddit; 76 images and 3 videos; a set of 5.
    assert counted == {"reddit": 16, "reddit video": 9, "reddit link": 1, "imgur": 76, "imgur video": 3, "tumblr": 5}


# Reddit


def test_a_reddit_post() -> None:
    body = reddit_post(
        7, "https://i.redd.it/a.png?x=1&amp;y=2", title="Tom &amp; Jerry &lt;3", over_18=True, spoiler=True
    )
    assert posts("reddit", body) == [
        {
            "global_id": "p7-reddit",
            "url": "https://i.redd.it/a.png?x=1&y=2",
            "desc": "Tom & Jerry <3",
            "author": "somebody",
            "created_time": "2023-11-14T22:13:27+00:00",
            "score": 7,
            "source": "reddit",
            "ingestion_time": NOW.isoformat(),
            "nsfw": True,
            "spoiler": True,
            "permalink": "https://www.reddit.com/r/memes/comments/p7/post/",
            "channel": "memes",
        }
    ]


def test_a_reddit_gallery_gives_a_post_an_image_and_keeps_their_numbers() -> None:
    found = posts("reddit", reddit_gallery(1, ["https://x/1.png?a&amp;b", None, "https://x/3.png"]))
    assert [(post["global_id"], post["url"]) for post in found] == [
        ("p1_1-reddit", "https://x/1.png?a&b"),
        ("p1_3-reddit", "https://x/3.png"),
    ]


def test_a_crosspost_of_a_gallery_has_its_images() -> None:
    parent = reddit_gallery(1, ["https://x/1.png"])["data"]
    body = reddit_post(2, "https://www.reddit.com/gallery/p1", is_gallery=None, crosspost_parent_list=[parent])
    assert [(post["global_id"], post["url"]) for post in posts("reddit", body)] == [("p2-reddit", "https://x/1.png")]


def test_a_gallery_of_a_dump_that_does_not_tell_the_state_of_its_images_has_them() -> None:
    body = reddit_gallery(1, ["https://x/1.png"])
    del body["data"]["media_metadata"]["m0"]["status"]
    assert [post["url"] for post in posts("reddit", body)] == ["https://x/1.png"]


def test_a_crosspost_that_leads_to_a_page_has_the_image_of_its_parent() -> None:
    parent = reddit_post(1, "https://i.redd.it/a.png")["data"]
    body = reddit_post(2, "/r/x/comments/p1/post/", crosspost_parent_list=[parent])
    assert [(post["global_id"], post["url"]) for post in posts("reddit", body)] == [
        ("p2-reddit", "https://i.redd.it/a.png")
    ]
    parent["is_video"] = True
    assert reason("reddit", body) == "video"


@pytest.mark.parametrize(
    ("url", "others", "taken"),
    [
        ("https://i.imgur.com/abcdefg.jpg", {}, "https://i.imgur.com/abcdefg.jpg"),
        ("http://imgur.com/abcdefg", {"post_hint": "link"}, "https://i.imgur.com/abcdefg.jpg"),
        ("https://example.com/a.JPEG", {}, "https://example.com/a.JPEG"),
        ("https://i.reddituploads.com/d42?fit=max&amp;h=9", {}, "https://i.reddituploads.com/d42?fit=max&h=9"),
        ("https://example.com/image", {"post_hint": "image"}, "https://example.com/image"),
        ("https://i.redd.it/a.gif", {"post_hint": "image"}, "https://i.redd.it/a.gif"),
    ],
)
def test_what_reddit_links_to_as_an_image(url: str, others: dict[str, Any], taken: str) -> None:
    assert posts("reddit", reddit_post(1, url, **others))[0]["url"] == taken


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (reddit_post(1, "https://www.reddit.com/r/x", is_self=True), "text"),
        (reddit_post(1, "https://v.redd.it/abc"), "video"),
        (reddit_post(1, "https://i.imgur.com/a.gifv"), "video"),
        (reddit_post(1, "https://streamable.com/x", post_hint="rich:video"), "video"),
        (reddit_post(1, "https://i.redd.it/a.png", is_video=True), "video"),
        (reddit_post(1, "https://example.com/news"), "link"),
        (reddit_post(1, "https://imgur.com/a/abcde"), "link"),
        (reddit_post(1, "https://i.redd.it/a.png", removed_by_category="moderator"), "removed"),
        (reddit_post(1, "https://i.redd.it/a.png", removed_by_category="deleted", author="[deleted]"), "removed"),
        (reddit_post(1, "https://i.redd.it/a.png", banned_by="somebody"), "removed"),
        (reddit_post(1, "https://www.reddit.com/gallery/p1", is_gallery=True), "removed"),
        (reddit_gallery(1, []), "removed"),
        (reddit_post(1, promoted=True), "other"),
        (reddit_post(1, "http://[1"), "other"),
        ({"kind": "t1", "data": {"id": "c", "name": "t1_c", "body": "a comment"}}, "other"),
    ],
)
def test_what_is_no_post_on_reddit(body: Any, why: str) -> None:
    assert reason("reddit", body) == why


def test_a_post_of_somebody_who_is_gone_is_a_post() -> None:
    assert posts("reddit", reddit_post(1, author="[deleted]"))[0]["author"] == "[deleted]"


# Imgur


def test_an_image_on_imgur() -> None:
    found = posts("imgur", imgur_image(5, description="said &amp; done", nsfw=True))[0]
    assert found["global_id"] == "i5-imgur"
    assert found["desc"] == "Image 5\nsaid & done"
    assert (found["score"], found["nsfw"], found["spoiler"], found["author"]) == (5, True, False, "somebody")


def test_an_album_gives_a_post_an_image() -> None:
    found = posts("imgur", imgur_album(5, ["https://x/1.png", "https://x/2.png"]))
    assert [(post["global_id"], post["desc"]) for post in found] == [
        ("i5_1-imgur", "Image 5\npart 1"),
        ("i5_2-imgur", "Image 5\npart 2"),
    ]


def test_an_album_of_one_image_is_an_image() -> None:
    assert posts("imgur", imgur_album(5, ["https://x/1.png"]))[0]["global_id"] == "i5-imgur"


def test_scores_of_several_ages() -> None:
    old = dict.fromkeys(("points", "score", "ups", "downs"))
    scores = [{**old, "points": 4}, {**old, "ups": 9, "downs": 2}, {**old, "score": 111}, old]
    assert [posts("imgur", imgur_image(1, **score))[0]["score"] for score in scores] == [4, 7, 111, 0]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (imgur_image(1, type="video/mp4"), "video"),
        (imgur_image(1, is_ad=True), "other"),
        (imgur_image(1, link=""), "removed"),
        ({**imgur_album(1, []), "images": []}, "removed"),
    ],
)
def test_what_is_no_post_on_imgur(body: Any, why: str) -> None:
    assert reason("imgur", body) == why


def test_the_items_of_a_tag() -> None:
    page = imgur.page_of({"data": {"name": "cats", "items": [imgur_image(1)]}, "success": True})
    assert [item.id for item in page.items] == ["i1"]


# Tumblr


def test_blocks_of_content() -> None:
    found = posts("tumblr", tumblr_post(3, ["https://x/1.png", "https://x/2.png"], is_nsfw=True))
    assert [(post["global_id"], post["url"]) for post in found] == [
        ("7000003_1-tumblr", "https://x/1.png"),
        ("7000003_2-tumblr", "https://x/2.png"),
    ]
    assert {(post["desc"], post["score"], post["nsfw"], post["author"]) for post in found} == {
        ("Post 3", 3, True, "someblog")
    }


def test_of_a_block_the_largest_image_is_taken() -> None:
    sizes = [
        {"url": "https://x/s.png", "width": 75, "height": 75},
        {"url": "https://x/l.png", "width": 900, "height": 9},
    ]
    body = tumblr_post(3, [], content=[{"type": "image", "media": sizes}])
    assert posts("tumblr", body)[0]["url"] == "https://x/l.png"


def test_what_is_passed_on_shows_the_image_of_the_first_post() -> None:
    trail = [{"content": [{"type": "image", "media": [{"url": "https://x/1.png", "width": 9, "height": 9}]}]}]
    assert posts("tumblr", tumblr_post(3, [], content=[], trail=trail))[0]["url"] == "https://x/1.png"


def test_a_set_of_photos() -> None:
    photos = [
        {"caption": "", "original_size": {"url": f"https://x/{n}.png", "width": 9, "height": 9}, "alt_sizes": []}
        for n in (1, 2)
    ]
    body = {
        **tumblr_post(3, []),
        "type": "photo",
        "content": None,
        "photos": photos,
        "caption": "<p>A &amp; B</p><p>C</p>",
    }
    found = posts("tumblr", body)
    assert [post["global_id"] for post in found] == ["7000003_1-tumblr", "7000003_2-tumblr"]
    assert found[0]["desc"] == "A & B\nC"


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"content": [{"type": "text", "text": "words"}]}, "text"),
        ({"content": [{"type": "video", "media": {"url": "https://x/v.mp4"}}]}, "video"),
        ({"content": None, "type": "video", "caption": "look"}, "video"),
        ({"content": None, "type": "text", "body": "<video><source src='x.mp4'></video>"}, "video"),
        ({"content": None, "type": "link", "body": None}, "link"),
        ({"state": "private"}, "removed"),
    ],
)
def test_what_is_no_post_on_tumblr(others: dict[str, Any], why: str) -> None:
    assert reason("tumblr", tumblr_post(1, [], **others)) == why


def test_the_next_page_begins_within_the_second_of_the_last_post() -> None:
    page = tumblr.page_of({"response": {"posts": [tumblr_post(9, []), tumblr_post(4, [])]}})
    assert page.next == 1_700_000_005
    again = tumblr.page_of({"response": {"posts": [tumblr_post(4, [])]}}, 1_700_000_005)
    assert again.next == 1_700_000_004  # all of them in that second: no way but past it
    assert tumblr.page_of({"response": {"posts": [tumblr_post(4, [])]}}, 1_700_000_004).next is None


def test_a_pinned_post_does_not_turn_the_page() -> None:
    pinned = {**tumblr_post(1, []), "is_pinned": True}
    page = tumblr.page_of({"response": [tumblr_post(9, []), pinned]})
    assert (page.next, [item.pinned for item in page.items]) == (1_700_000_010, [False, True])


# HTML


@pytest.mark.parametrize(
    ("source", "images", "text"),
    [
        ("", [], ""),
        ("<p>a<br>b</p>", [], "a\nb"),
        ("<img src='https://x/1.png?a=1&amp;b=2'>", ["https://x/1.png?a=1&b=2"], ""),
        ("<img src='s.png' srcset='m.png 75w, l.png 1280w, xl.png 1280w' sizes='100vw'/>", ["xl.png"], ""),
        ("<img srcset='a 9w'>", ["a"], ""),
        ("<img srcset='nonsense, a' src=b.png>", ["b.png"], ""),
        ("<script>alert(1)</script><p>said", [], "said"),
        ("<figure><img src=a.png></figure><figure><img src=b.png>", ["a.png", "b.png"], ""),
    ],
)
def test_images_and_text_of_html(source: str, images: list[str], text: str) -> None:
    content = read_html(source)
    assert (content.images, content.text) == (images, text)


# What nobody expects


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("body", [None, 1, "x", [], {}, {"kind": "t3", "data": {"id": []}}, {"id": {}, "kind": "t3"}])
def test_what_has_no_known_form_is_said_to_have_none(service: str, body: Any) -> None:
    with pytest.raises(ValueError, match="validation error"):
        SERVICES[service].parse_item(ListingItem("x", 0.0, body))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("body", [None, 1, [], {}, {"data": None}, {"data": {}}, {"response": 7}])
def test_an_answer_without_a_page_is_worth_asking_again(service: str, body: Any) -> None:
    with pytest.raises(TransientError):
        SERVICES[service].page_of(body)


def test_an_entry_without_a_name_gets_one() -> None:
    page = reddit.page_of({"data": {"children": [{"kind": "t3"}, {"kind": "t3", "data": 7}], "after": None}})
    names = [item.id for item in page.items]
    assert len(set(names)) == 2
    assert all(name.startswith("unnamed-") for name in names)


def test_which_field_is_not_as_known_is_said() -> None:
    item = {"kind": "t3", "data": {"id": "n1", "score": None}}
    with pytest.raises(ValidationError) as found:
        SERVICES["reddit"].parse_item(ListingItem("t3_n1", 0.0, item))
    message = Message(as_json({"item": item, "wrong": why_strange(found.value)}), "here")
    with pytest.raises(BadRecordError, match=r"no known form: score: .*integer, found 'None'"):
        parse_post(message)


def test_what_is_no_post_becomes_a_dead_letter_further_on() -> None:
    with pytest.raises(BadRecordError, match="global_id"):
        parse_post(Message(as_json({"item": {"kind": "t3"}}), "here"))

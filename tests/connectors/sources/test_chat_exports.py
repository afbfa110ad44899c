"""Exports of chats."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.inspection import inspect_source
from connectors.row_file import RowFile
from connectors.sources.file_options import FileOptions
from connectors.sources.parse import parse_post
from connectors.sources.post_files import PostFiles
from core.errors import WorldError
from core.records import Message

Json = dict[str, Any]


def said(number: int, **fields: Any) -> Json:
    usual = {
        "id": number, "type": "message", "date": "2023-12-11T08:00:00", "date_unixtime": "1702281600", "from": "Bob",
        "from_id": "user1", "text": "hi",
    }  # fmt: skip
    return usual | fields


TELEGRAM = {
    "name": "Memes",
    "type": "public_channel",
    "id": 77,
    "messages": [
        {"id": 1, "type": "service", "action": "create_channel"},
        said(2),
        said(
            3,
            photo="photos/a.jpg",
            text=["look ", {"type": "link", "text": "here"}, "!"],
            reactions=[{"count": 3}, {"count": 2}],
        ),
        said(4, photo="(File not included. Change data exporting settings to download.)"),
        said(8, photo="(File exceeds maximum size. Change data exporting settings to download.)"),
        said(9, photo="(File unavailable, please try again later)"),
        said(5, file="files/b.png", mime_type="image/png", forwarded_from="Ann", edited_unixtime="1702281700"),
        said(6, file="v.mp4", mime_type="video/mp4", media_type="video_file"),
        said(7, file="s.webp", mime_type="image/webp", media_type="sticker"),
    ],
}
DISCORD = {
    "guild": {"id": "1", "name": "G"},
    "channel": {"id": "2", "name": "memes"},
    "messages": [
        {"id": "10", "timestamp": "2023-12-11T08:00:00+00:00", "content": "two", "author": {"id": "5", "name": "bob"},
         "attachments": [{"url": "m_Files/a.png", "fileName": "a.png"}, {"url": "x.mp4", "fileName": "x.mp4"},
                         {"url": "https://cdn/b.jpg?ex=1", "fileName": "b.jpg"}], "reactions": [{"count": 4}]},
        {"id": "11", "timestamp": "2023-12-11T08:00:00+00:00", "content": "none", "author": None, "attachments": []},
    ],
    "messageCount": 2,
}  # fmt: skip


def posts(path: Path) -> list[Json]:
    place = PostFiles(path, FileOptions(follow=False, parts=1, block_bytes=4096, batch=2)).places()[0]
    place.check()
    reader = place.open(0, None, ())
    found = []
    while not reader.ended:
        if (unit := reader.read()) is not None:
            found += [orjson.loads(it.value) for it in unit.messages]
    return found


@pytest.fixture(params=["pretty", "one line", "one short line"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def write(content: Json) -> Path:
        path = tmp_path / "result.json"
        data = orjson.dumps(content, option=orjson.OPT_INDENT_2 if request.param == "pretty" else None)
        if request.param == "one line":  # longer than what is looked at
            data = data[:-1] + b',"rest":"' + b"x" * 70_000 + b'"}'
        path.write_bytes(data)
        return path

    return write


def test_images_of_a_telegram_chat(export: Any) -> None:
    found = posts(export(TELEGRAM))
    assert [it["global_id"] for it in found] == ["77/3-telegram", "77/5-telegram", "77/7-telegram"]
    assert found[0] == {
        "global_id": "77/3-telegram",
        "url": "photos/a.jpg",
        "desc": "look here!",
        "author": "Bob",
        "created_time": "2023-12-11T08:00:00+00:00",
        "score": 5,
        "source": "telegram",
        "channel": "Memes",
        "author_id": "user1",
    }
    assert (found[1]["url"], found[1]["forwarded_from"]) == ("files/b.png", "Ann")
    assert parse_post(Message(orjson.dumps(found[1]), "")).edited is not None


def test_a_whole_account_of_telegram_s(export: Any) -> None:
    chats = [TELEGRAM, TELEGRAM | {"id": 78, "name": "Other"}]
    found = posts(export({"about": "x", "chats": {"about": "y", "list": chats}}))
    assert [(it["global_id"], it["channel"]) for it in found if it["url"] == "photos/a.jpg"] == [
        ("77/3-telegram", "Memes"),
        ("78/3-telegram", "Other"),
    ]


def test_images_of_a_discord_channel(export: Any) -> None:
    found = posts(export(DISCORD))
    assert [(it["global_id"], it["url"]) for it in found] == [
        ("10_1-discord", "m_Files/a.png"),
        ("10_3-discord", "https://cdn/b.jpg?ex=1"),
    ]
    assert (found[0]["author"], found[0]["channel"], found[0]["guild"], found[0]["score"]) == ("bob", "memes", "G", 4)


def test_images_embedded_in_a_message_of_discord_s(export: Any) -> None:
    said = {"timestamp": "2023-12-11T08:00:00+00:00", "content": "x", "author": {"name": "bob"}, "attachments": []}
    embeds: dict[str, list[Json]] = {
        "20": [{"title": "t", "image": {"url": "https://a/1.png"}, "thumbnail": {"url": "https://a/t.png"}}],
        "21": [{"images": [{"url": "https://a/2"}, {"url": "https://a/3"}]}, {"thumbnail": {"url": "m_Files/4.jpg"}}],
        "22": [{"title": "an article", "thumbnail": {"url": "https://a/5.png"}}],
        "23": [{"video": {"url": "https://a/f.mp4"}, "thumbnail": {"url": "https://a/6.png"}}],
        "24": [{"image": {"url": "u.png"}}, {"image": {"url": "https://a/7.png"}}, {"image": 5}],
    }
    messages = [said | {"id": number, "embeds": found} for number, found in embeds.items()]
    messages[-1]["attachments"] = [{"url": "u.png", "fileName": "u.png"}]
    found = posts(export(DISCORD | {"messages": messages}))
    assert [(it["global_id"], it["url"]) for it in found] == [
        ("20-discord", "https://a/1.png"),
        ("21_1-discord", "https://a/2"),
        ("21_2-discord", "https://a/3"),
        ("21_3-discord", "m_Files/4.jpg"),
        ("24_1-discord", "u.png"),
        ("24_2-discord", "https://a/7.png"),
    ]


def test_what_is_left_out_is_told_by_reason(export: Any) -> None:
    source = PostFiles(export(TELEGRAM), FileOptions(follow=False, parts=1, block_bytes=4096, batch=2))
    found = inspect_source(source, most=100, shown=1, seconds=5)
    assert found.skipped == {"other": 1, "removed": 3, "text": 1, "video": 1}
    assert (found.places[0].rows, found.posts) == ("messages of a chat", 3)


def test_an_export_that_breaks_off_is_told(tmp_path: Path) -> None:
    data = orjson.dumps(TELEGRAM, option=orjson.OPT_INDENT_2)
    (tmp_path / "result.json").write_bytes(data[: data.index(b'"sticker"')])
    with pytest.raises(WorldError, match="cannot be read to its end"):
        list(RowFile(tmp_path / "result.json"))
    *found, last = posts(tmp_path / "result.json")
    assert [it["global_id"] for it in found] == ["77/3-telegram", "77/5-telegram"]
    assert "is truncated or broken after 8 rows" in last["wrong"]

"""Mastodon's stream."""

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import orjson
import pytest

from connectors.endpoints import POSTS_FROM, endpoint
from connectors.services import mastodon
from connectors.services.mastodon import MastodonStream, lines_of, posts_of_status
from connectors.sources.parse import parse_post, parsed
from connectors.sources.source import Reader
from core.errors import SettingsError, WorldError
from core.records import Message, Post, Removal
from core.telemetry import SKIPPED
from dataflows.all_settings import Settings, is_secret
from tests.web_server import serving


def status(number: int, *kinds: str, **fields: Any) -> dict[str, Any]:
    media = [
        {"type": kind, "url": f"https://m/{number}/{place}.png", "description": "alt"}
        for place, kind in enumerate(kinds or ("image",))
    ]
    usual = {
        "id": f"{number}", "uri": f"https://m/s/{number}", "url": f"https://m/@a/{number}", "created_at": "2023-12-11T08:00:00.000Z", "content": "<p>hi &amp; ho</p>",
        "spoiler_text": "", "language": "en", "sensitive": True, "tags": [{"name": "memes"}], "account": {"acct": "a@m"}, "reblog": None,
        "media_attachments": media, "favourites_count": 3,
    }  # fmt: skip
    return usual | fields


def test_a_status_is_a_post_for_each_image() -> None:
    (found,) = posts_of_status(status(1), "m.example")
    post = parse_post(Message(orjson.dumps(found), ""))
    assert (post.global_id, post.url, post.description, post.author) == (
        "https://m/s/1-mastodon",
        "https://m/1/0.png",
        "hi & ho\nalt",
        "a@m",
    )
    assert post.extra["nsfw"] is True
    found = posts_of_status(status(1, "image", "gifv", "image"), "m.example")
    assert [it["global_id"] for it in found] == ["https://m/s/1_1-mastodon", "https://m/s/1_3-mastodon"]
    edit = posts_of_status(status(1, edited_at="2023-12-12T08:00:00.000Z"), "m.example")[0]
    assert parse_post(Message(orjson.dumps(edit), "")).edited is not None


def test_an_image_that_a_server_did_not_fetch_is_read_from_where_it_was_posted() -> None:
    media = [
        {"type": "unknown", "url": None, "remote_url": f"https://b/{name}"} for name in ("a.PNG?x=1", "b.mp4", "c")
    ]
    found = posts_of_status(status(1, media_attachments=media), "m.example")
    assert [(it["global_id"], it["url"]) for it in found] == [("https://m/s/1_1-mastodon", "https://b/a.PNG?x=1")]
    assert posts_of_status(status(1, media_attachments=media[1:]), "m.example") == "video"


def test_an_account_has_the_same_name_on_every_server() -> None:
    of = [posts_of_status(status(1, account={"acct": it}), "m.example")[0]["author"] for it in ("a", "a@b.example")]
    assert of == ["a@m.example", "a@b.example"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(status(1, reblog=status(2)), "other"), (status(1, "video"), "video"), (status(1, media_attachments=[]), "text")],
)
def test_what_is_no_image_is_told(body: Any, reason: str) -> None:
    assert posts_of_status(body, "m.example") == reason


@dataclass
class Server:
    """Plays one answer for each connection, the last one again and again."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("authorization")))
                code, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    made = Server()
    with serving(made.handler()) as address:
        yield made, address


def events(*found: tuple[str, Any]) -> str:
    return "".join(
        f":thump\nevent: {name}\ndata: {body if isinstance(body, str) else orjson.dumps(body).decode()}\n\n"
        for name, body in found
    )


def opened(url: str, path: str = "", resume: Any = None, **settings: Any) -> Reader:
    made = Settings(
        source=(f"mastodon:m.example{path}?url={url}",),
        mastodon_tokens='{"m.example": "secret"}',
        poll_backoff_seconds=0.01,
        **settings,
    )
    found = endpoint(made.source[0], POSTS_FROM)
    source = found.source(made.options_of(found), made)
    return source.open(source.parts()[0], resume)


def read(reader: Reader, count: int) -> list[str]:
    ids: list[str] = []
    until = time.monotonic() + 10
    while len(ids) < count and time.monotonic() < until:
        unit = reader.read()
        found = [parsed(it) for it in unit.messages] if unit else []
        ids += [it.global_id if isinstance(it, Post) else said(it) for it in found]
        time.sleep(0.005)
    return ids


def said(found: Any) -> str:
    assert isinstance(found, Removal)
    return f"{found.post_id} is gone" + (f" but for {', '.join(found.kept)}" if found.kept else "")


def test_posts_come_once_through_drops_edits_and_garbage(server: tuple[Server, str]) -> None:
    made, url = server
    deleted = SKIPPED.labels("mastodon", "delete of an unknown post")
    before = deleted._value.get()
    first = events(
        ("update", status(1)), ("update", "{"), ("update", status(2)), ("delete", "99"), ("filters_changed", "x")
    )
    second = events(
        ("update", status(2)), ("status.update", status(1, edited_at="2023-12-12T08:00:00Z")), ("update", status(3))
    )
    made.answers = [(200, first + "event: update\ndata: {half"), (503, ""), (200, second), (200, "")]
    reader = opened(url, "/tag/memes")
    one, two, three = (f"https://m/s/{n}-mastodon" for n in (1, 2, 3))
    assert read(reader, 5) == [one, two, f"{one} is gone but for {one}", one, three]
    reader.close()
    assert made.asked[0] == ("/api/v1/streaming/hashtag?tag=memes&only_media=true", "Bearer secret")
    assert deleted._value.get() == before + 1


def test_a_delete_names_a_post_that_came_also_after_a_restart(server: tuple[Server, str]) -> None:
    made, url = server
    made.answers = [(200, events(("update", status(1)), ("update", status(2)), ("delete", "1"))), (200, "")]
    reader = opened(url)
    one, two = "https://m/s/1-mastodon", "https://m/s/2-mastodon"
    assert read(reader, 2) == [one, two]
    until = time.monotonic() + 10
    while (unit := reader.read()) is None and time.monotonic() < until:
        time.sleep(0.005)
    reader.close()
    assert unit is not None
    assert said(parsed(unit.messages[0])) == f"{one} is gone"
    edit = status(1, media_attachments=[], edited_at="2024-01-01")
    made.answers = [(200, events(("delete", "2"), ("status.update", edit)))]
    again = opened(url, resume=pickle.loads(pickle.dumps(unit.resume)))
    assert read(again, 2) == [f"{two} is gone", f"{one} is gone"]
    again.close()


def test_what_is_odd_in_a_status_spoils_neither_the_next_one_nor_the_connection(server: tuple[Server, str]) -> None:
    made, url = server
    odd = [{"favourites_count": "many"}, {"tags": ["x"]}, {"account": None}, {"media_attachments": {}}]
    first = [("update", status(1, **it)) for it in odd]
    made.answers = [(200, events(*first, ("update", status(2, content="one\u0085two\u2028three")))), (200, "")]
    reader = opened(url)
    assert read(reader, 1) == ["https://m/s/2-mastodon"]
    reader.close()


def test_a_post_that_was_edited_before_it_came_is_an_edit(server: tuple[Server, str]) -> None:
    made, url = server
    edited = status(1, edited_at="2023-12-12T08:00:00Z")
    made.answers = [(200, events(("update", edited), ("status.update", edited), ("update", status(2)))), (200, "")]
    reader = opened(url)
    one, two = "https://m/s/1-mastodon", "https://m/s/2-mastodon"
    assert read(reader, 3) == [f"{one} is gone but for {one}", one, two]
    reader.close()


def test_texts_do_not_take_the_places_of_posts_that_may_be_deleted(
    server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mastodon, "_SEEN", 2)
    made, url = server
    texts = [("update", status(number, media_attachments=[])) for number in range(2, 7)]
    made.answers = [(200, events(("update", status(1)), *texts, ("delete", "1"))), (200, "")]
    reader = opened(url)
    assert read(reader, 2) == ["https://m/s/1-mastodon", "https://m/s/1-mastodon is gone"]
    reader.close()


def test_a_quiet_stream_moves_on_by_its_heartbeats(server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mastodon, "_MARK_SECONDS", 0.0)
    made, url = server
    made.answers = [(200, ":thump\n" * 100)]
    reader = opened(url)
    until = time.monotonic() + 10
    while (unit := reader.read()) is None and time.monotonic() < until:
        time.sleep(0.005)
    reader.close()
    assert unit is not None
    assert unit.messages == []
    assert unit.resume["last"] > 0


def test_lines_end_at_line_feeds_alone_and_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a\u0085b\u2028c\r\n\nlönger\n".encode()
    assert list(lines_of(text[at : at + 1] for at in range(len(text)))) == ["a\u0085b\u2028c", "", "lönger"]
    monkeypatch.setattr(mastodon, "_MOST_LINE", 4)
    assert list(lines_of([b"12", b"345", b"6\nab\n", b"never"])) == ["1234", "ab"]


@pytest.mark.parametrize("told", ["null", '{"configuration": null}', '{"configuration": {"urls": []}}', "[]"])
def test_a_server_that_does_not_say_where_its_streams_are_has_them_itself(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, text=told if len(asked) == 1 else events(("update", status(1))))

    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **it: client(**it | {"transport": httpx.MockTransport(answer)}))
    settings = Settings(source=("mastodon:m.example/tag/c++",), mastodon_tokens='{"m.example": "secret"}')
    found = endpoint(settings.source[0], POSTS_FROM)
    source = found.source(settings.options_of(found), settings)
    reader = source.open(source.parts()[0], None)
    assert read(reader, 1) == ["https://m/s/1-mastodon"]
    reader.close()
    assert asked[1] == "https://m.example/api/v1/streaming/hashtag?tag=c%2B%2B&only_media=true"


@pytest.mark.parametrize(("code", "told"), [(401, "rejects the token"), (404, "has no such stream")])
def test_a_refusal_ends_the_run(code: int, told: str, server: tuple[Server, str]) -> None:
    made, url = server
    made.answers = [(code, "")]
    reader = opened(url)
    with pytest.raises(WorldError, match=told):
        read(reader, 1)


def test_a_server_that_keeps_failing_ends_a_run_that_does_not_follow(server: tuple[Server, str]) -> None:
    made, url = server
    made.answers = [(502, "")]
    with pytest.raises(WorldError, match=r"does not answer \(HTTP 502\)"):
        read(opened(url, follow=False, poll_attempts=3), 1)
    assert len(made.asked) == 3


def test_a_server_cannot_send_who_asks_into_their_network(
    server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = server
    made.answers = [(200, events(("update", status(1))))]
    monkeypatch.setattr(MastodonStream, "_address", lambda *_: f"{url}/api/v1/streaming/public")

    def reader(**more: Any) -> Reader:
        settings = Settings(source=("mastodon:m.example",), mastodon_tokens='{"m.example": "secret"}', **more)
        found = endpoint(settings.source[0], POSTS_FROM)
        source = found.source(settings.options_of(found), settings)
        return source.open(source.parts()[0], None)

    with pytest.raises(
        WorldError, match=r"m\.example: cannot reach the streaming URL that it names: .*MEMEWAX_FETCH_ALLOW"
    ):
        read(reader(), 1)
    assert made.asked == []
    allowed = reader(fetch_allow=("127.0.0.1",))
    assert read(allowed, 1) == ["https://m/s/1-mastodon"]
    allowed.close()


def test_addresses_and_tokens() -> None:
    for address in ("mastodon:", "mastodon:a.b/tag", "mastodon:a.b/x", "mastodon:a.b?lang=en"):
        with pytest.raises(SettingsError, match="is not mastodon:SERVER"):
            endpoint(address, POSTS_FROM)
    found = endpoint("mastodon:a.b/local", POSTS_FROM)
    with pytest.raises(SettingsError, match="MEMEWAX_MASTODON_TOKENS"):
        found.source(Settings().options_of(found), Settings())
    assert is_secret("mastodon_tokens")
    assert "secret" not in str(Settings(mastodon_tokens='{"a.b": "secret"}').mastodon_tokens)

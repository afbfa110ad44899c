"""Small stores to look at."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import lancedb
import orjson
from PIL import Image

from connectors.sinks.cluster_events import CLUSTERS, row_of_event
from connectors.sinks.rows import row_of
from connectors.store.posts_table import PostStore
from connectors.store.stored_table import StoredTable
from core.records import Cluster, ClusterEvent, Reading, Record, Sentiment, Thumbnail
from core.status import FOLDER, ProcessStatus
from dataflows.all_settings import load_settings
from memewax.page.page_access import Access
from memewax.page.page_app import make_app
from memewax.page.page_data import PageData
from memewax.page.page_dead_letters import DeadLetterReader, dead_letters_beside
from memewax.page.page_search import PageHit, PageHits, SearchRequest
from search.store_reader import StoreReader
from tests.factories import ANSWERS, LINE, post, sides, vector

START: Final = datetime(2026, 5, 1, tzinfo=UTC)
NEW_COLUMNS: Final = ("current_cluster", "picture_sha256", "post_id", "revision", "text_unread")
"""That a store of an older version has not."""
SCRIPT: Final = "<script>document.title='it ran'</script><img src=x onerror=\"document.title='it ran'\">"
MOST_UPLOAD: Final = 100_000
TURNED: Final = "\u202eright to left\u2066 \x1b[31m שלום"
ZALGO: Final = "z" + "\u0300\u0301\u0316\u0333" * 500
LONG: Final = "many words " * 95_000


def key(number: int) -> str:
    return f"{number:064x}"


def webp(red: int, size: tuple[int, int] = (160, 120)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (red, 90, 160)).save(out, "WEBP")
    return out.getvalue()


def row(
    global_id: str, cluster: int, hours: float, text: str = "a cat", copy_of: str | None = None, **fields: Any
) -> dict[str, Any]:
    number = int.from_bytes(global_id.encode()) % 97
    time = (START + timedelta(hours=hours)).isoformat()
    made = post(global_id, **{"created_time": time, "description": text, "author": "ann", "source": "reddit", **fields})
    answers = {
        **ANSWERS,
        "cluster": Cluster(cluster, 0.1, copy_of),
        "embedding": vector(1, number / 97, 0, 0, 0, 0, 0, 0),
        "text": Reading((LINE,)),
        "sentiment": Sentiment(0.1, 0.2, 0.7, 0.5),
    }
    joined = (START + timedelta(days=30, hours=hours)).isoformat()
    return row_of(Record(made, sides(global_id, **answers)), joined)


def filled(folder: Path) -> Path:
    """A store: cluster 0 of five posts, two of them copies and merged from 1; cluster 5 rises; one post is alone."""
    store = PostStore(folder, 8, 8)
    rows = [
        row("1-reddit", 0, 0, picture_sha256=key(1), extra={"permalink": "https://reddit.example/1", "alt": "a grey cat"}),
        row("2-reddit", 0, 2, copy_of="1-reddit", picture_sha256=key(1)),
        row("3-imgur", 1, 5, source="imgur", author="bob", picture_sha256=key(3), url="https://imgur.example/3.png"),
        row("4-imgur", 1, 6, copy_of="1-reddit", source="imgur", picture_sha256=key(1)),
        row("did:plc:x/5-bluesky", 0, 9, source="bluesky", picture_sha256=key(5), extra={"nsfw": True}),
        *(row(f"{number}-tumblr", 5, 60 + number, "a new doge", source="tumblr") for number in range(10, 14)),
        row("20-reddit", 7, 61, "nothing like it", picture_sha256=key(20)),
    ]  # fmt: skip
    small = [
        Thumbnail(post(f"{number}-x", picture_sha256=key(number)), webp(40 * number % 250), 320, 240)
        for number in (1, 3, 5)
    ]
    store.write_thumbnails(small)
    events = [ClusterEvent("birth", 0), ClusterEvent("birth", 1), ClusterEvent("birth", 5), ClusterEvent("merge", 1, 0)]
    store.apply_events(events)
    store.upsert(rows)
    clusters = StoredTable(folder, CLUSTERS)
    clusters.upsert([row_of_event(event) for event in events])
    said(folder)
    letters = [
        {"stage": "fetch", "exception": "FetchError", "reason": "no such file", "global_id": "90-reddit"},
        {"stage": "parse", "exception": "BadRecordError", "reason": f"not JSON: {SCRIPT}", "global_id": None},
    ]
    lines = [
        orjson.dumps({**it, "origin": "file:/p.jsonl@0", "key": None, "headers": [], "value": "PHNjcmlwdD4="})
        for it in letters
    ]
    folder.with_name(f"{folder.name}.dead-letters.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def said(folder: Path, **others: Any) -> None:
    """Let a flow say of itself that it runs."""
    now = datetime.now(UTC)
    status = ProcessStatus(
        flow="memes",
        process=0,
        processes=1,
        pid=1,
        host="here",
        started=now,
        written=now,
        **{"state": "running", "counts": {"posts": 10}, "rates": {"posts": 2.5}, **others},
    )
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / status.file_name).write_bytes(orjson.dumps(status.model_dump(mode="json")))


def aged(folder: Path) -> Path:
    """A store as an older version wrote it: fewer columns, no thumbnails, no table of clusters."""
    filled(folder)
    database = lancedb.connect(folder)
    posts = database.open_table("posts")
    posts.drop_columns([name for name in NEW_COLUMNS if name in posts.schema.names])
    for name in ("thumbnails", "clusters"):
        database.drop_table(name)
    return folder


HOSTILE: Final = {
    "markup": SCRIPT,
    "right to left": TURNED,
    "zalgo": ZALGO,
    "a megabyte": LONG,
    "a query": "' OR 1=1 --",
    "a template": "{{ 7 * 7 }}",
}


def hostile_id(number: int) -> str:
    return f"{number}'\"<b>-{SCRIPT[:40]}"


def hostile(folder: Path) -> Path:
    """A store of posts whose every text is against us, and of dead letters of them."""
    texts = list(HOSTILE.values())
    rows = [
        row(
            hostile_id(number),
            3,
            number,
            text,
            author=text[:1000],
            source=text[:1000],
            url=f"javascript:alert({number})//{text[:100]}",
            extra={"permalink": "javascript:alert(1)", "alt": text, "labels": [1, None], text[:50]: text},
        )
        for number, text in enumerate(texts)
    ]
    for it, text in zip(rows, texts, strict=True):
        it["text_as_read"] = text
        it["entities"] = [{"text": text[:5], "label": SCRIPT, "start": 0, "end": 5}]
    PostStore(folder, 8, 8).upsert(rows)
    with folder.with_name(f"{folder.name}.dead-letters.jsonl").open("wb") as file:
        for number, text in enumerate(texts):
            letter = {"stage": text[:100], "exception": text[:100], "reason": text, "global_id": hostile_id(number)}
            letter |= {"origin": text[:1000], "key": None, "headers": [], "value": b64encode(text.encode()).decode()}
            file.write(orjson.dumps(letter) + b"\n")
    return folder


def found_nothing(request: SearchRequest, k: int) -> PageHits:
    return PageHits(())


def found_first(request: SearchRequest, k: int) -> PageHits:
    hits = (PageHit("1-reddit", 0.9, "0.90 alike"), PageHit("gone-reddit", 0.5, "0.50 alike"))
    return PageHits(hits[:k] if "cat" in request.words or request.like or request.image else ())


def app_of(folder: Path, access: Access | None = None, find: Any = found_first) -> Any:
    """The page over a store, as `memewax page` makes it, with a search that needs no model."""
    letters = DeadLetterReader(dead_letters_beside(folder), folder, load_settings())
    reader = StoreReader(folder)
    return make_app(
        reader, PageData(reader, letters, find), access or Access(hosts=frozenset({"testserver"})), MOST_UPLOAD
    )

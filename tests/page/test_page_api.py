"""The JSON API answers with what a store holds, whatever its state."""

import csv
import threading
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from connectors.store.posts_table import PostStore
from memewax.page.page_api import openapi_document
from tests.factories import make_removal
from tests.page.stores import app_of, filled, key, row, webp

API = "/api/v1"
LISTS = ["/posts", "/clusters", "/dead-letters", "/stats", "/search?q=cat", "/openapi.json"]


def get(client: TestClient, path: str) -> Any:
    answer = client.get(f"{API}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("which", ["client", "old_client", "empty_client", "hostile_client"])
def test_every_list_is_there_whatever_the_store(which: str, path: str, request: pytest.FixtureRequest) -> None:
    assert get(request.getfixturevalue(which), path)


def test_posts_are_listed_newest_first_and_filtered(client: TestClient) -> None:
    found = get(client, "/posts")
    assert found["total"] == 10
    assert [it["global_id"] for it in found["posts"]][:2] == ["13-tumblr", "12-tumblr"]
    assert [it["global_id"] for it in get(client, "/posts?source=imgur")["posts"]] == ["4-imgur", "3-imgur"]
    assert [it["global_id"] for it in get(client, "/posts?author=bob")["posts"]] == ["3-imgur"]
    assert [it["global_id"] for it in get(client, "/posts?alone=1")["posts"]] == ["20-reddit"]
    assert get(client, "/posts?cluster=1")["total"] == 5  # which was merged into 0
    assert get(client, "/posts?cluster=-1")["total"] == 0 < get(client, "/posts")["total"]
    assert get(client, "/posts?since=2026-05-02&until=2026-05-03T22:30")["total"] == 2
    assert [it["global_id"] for it in get(client, "/posts?offset=9")["posts"]] == ["1-reddit"]
    assert len(get(client, "/posts?limit=3")["posts"]) == 3


@pytest.mark.parametrize("global_id", ["1-reddit", "did:plc:x/5-bluesky"])
def test_a_post_is_found_by_its_id(client: TestClient, global_id: str) -> None:
    found = get(client, f"/posts/{quote(global_id, safe='')}")
    assert (found["global_id"], found["current_cluster"]) == (global_id, 0)
    assert found["lines"][0]["text"] == "Hello Paris"
    assert not {"embeddings", "text_embedding"} & found.keys()
    assert len(found["neighbours"]) == 8
    assert found["image"] == {"width": 320, "height": 240}


def test_a_post_tells_of_its_copies(client: TestClient) -> None:
    original, copy = get(client, "/posts/1-reddit"), get(client, "/posts/4-imgur")
    assert [it["global_id"] for it in original["copies"]] == ["4-imgur", "2-reddit"]
    assert copy["original"]["global_id"] == "1-reddit"
    assert [it["global_id"] for it in copy["copies"]] == ["2-reddit"]


def test_clusters_are_sorted_as_asked_and_one_post_is_none(client: TestClient) -> None:
    found = get(client, "/clusters")
    assert [(it["cluster"], it["size"], it["copies"]) for it in found["clusters"]] == [(0, 5, 2), (5, 4, 0)]
    assert found["alone"] == 1
    assert [it["cluster"] for it in get(client, "/clusters?sort=rising")["clusters"]] == [5]
    assert [it["cluster"] for it in get(client, "/clusters?sort=new")["clusters"]] == [5, 0]
    assert [it["cluster"] for it in get(client, "/clusters?source=imgur")["clusters"]] == [0]
    first = found["clusters"][0]
    assert sum(first["sparkline"]) == 5
    assert first["sources"] == {"reddit": 2, "imgur": 2, "bluesky": 1}
    assert first["exemplar"]["global_id"] in {"1-reddit", "3-imgur", "did:plc:x/5-bluesky"}


def test_one_new_post_is_no_trend(tmp_path: Path) -> None:
    store = PostStore(tmp_path / "store", 8, 8)
    store.upsert([row(f"{number}-a", 0, number) for number in range(3)] + [row("9-a", 0, 90)])
    client = TestClient(app_of(tmp_path / "store"))
    assert get(client, "/clusters")["clusters"][0]["trend"] > 0
    assert get(client, "/clusters?sort=rising")["clusters"] == []


@pytest.mark.parametrize("cluster", [0, 1])
def test_a_cluster_is_known_by_every_id_and_tells_what_became_of_it(client: TestClient, cluster: int) -> None:
    found = get(client, f"/clusters/{cluster}")
    assert (found["cluster"], found["merged"]) == (0, [1])
    assert [(it["source"], it["posts"], it["hours_later"]) for it in found["by_source"]] == [
        ("reddit", 2, 0.0),
        ("imgur", 2, 5.0),
        ("bluesky", 1, 9.0),
    ]
    assert [(it["cluster"], it["into"]) for it in found["history"] if it["into"] is not None] == [(1, 0)]
    assert len(found["timeline"]) == 5


def test_dead_letters_stand_by_cause(client: TestClient) -> None:
    found = get(client, "/dead-letters")
    assert found["total"] == 2
    assert {(it["stage"], it["count"]) for it in found["groups"]} == {("fetch", 1), ("parse", 1)}
    assert all(it["advice"] for it in found["groups"])


def test_stats_tell_of_the_store_and_of_the_flow(client: TestClient) -> None:
    found = get(client, "/stats")
    assert (found["posts"], found["clusters"], found["alone"], found["dead_letters"]) == (10, 2, 1, 2)
    (flow,) = found["flows"]
    assert (flow["flow"], flow["posts_a_second"]) == ("memes", 2.5)
    assert found["tables"].keys() == {"posts", "clusters", "thumbnails"}


def test_a_search_finds_posts_that_are_there(client: TestClient) -> None:
    found = get(client, "/search?q=cat&k=5")
    assert [(it["post"]["global_id"], it["score"]) for it in found["hits"]] == [("1-reddit", 0.9)]
    assert get(client, "/search?q=dog")["hits"] == []
    assert client.get(f"{API}/search").status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/posts/nobody", 404, "no such post"),
        ("/clusters/999", 404, "no such cluster"),
        ("/clusters/7", 404, "two posts"),
        ("/posts?limit=0", 400, "limit: expected a whole number from 1 to 100"),
        ("/posts?limit=abc", 400, "limit"),
        ("/posts?offset=99999999999999999999999", 400, "offset"),
        ("/posts?since=yesterday", 400, "since is not a time"),
        ("/clusters?sort=beauty", 400, "sort: expected one of size, new, rising, rate"),
        (f"/search?q={'a' * 501}", 400, "501 characters"),
        ("/posts?sauce=imgur", 400, "unknown parameter 'sauce'; expected alone, author, cluster, column"),
        ("/stats?x=1", 400, "unknown parameter 'x'; expected none"),
        ("/posts?column=rating&value=5", 400, "no custom column 'rating'; the custom columns are: none"),
        ("/nowhere", 404, "/api/v1/openapi.json lists the existing ones"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_line(client: TestClient, path: str, status: int, told: str) -> None:
    answer = client.get(f"{API}{path}")
    assert (answer.status_code, told in answer.json()["error"]) == (status, True)


@pytest.mark.parametrize("path", ["/posts", "/clusters/3", "/stats"])
def test_what_strangers_wrote_does_nothing_to_a_terminal(hostile_client: TestClient, path: str) -> None:
    text = hostile_client.get(f"{API}{path}").text
    assert not {"\u202e", "\u2066", "\x1b", "\x9b"} & set(text)
    assert len(text) < 400_000


def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    for it in (tmp_path / "store" / "posts.lance").rglob("*.manifest"):
        it.write_bytes(b"broken")
    answer = TestClient(app_of(tmp_path / "store")).get(f"{API}/posts")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["error"]


def test_a_small_image_is_kept_by_the_browser_and_a_missing_one_is_drawn(
    client: TestClient, old_client: TestClient
) -> None:
    answer = client.get(f"/thumbnail/{key(3)}")
    assert (answer.content, answer.headers["content-type"]) == (webp(120), "image/webp")
    assert "max-age=86400" in answer.headers["cache-control"]
    for one, name in [(old_client, key(3)), (client, key(4)), (client, "..%2f..%2fetc"), (client, "' OR 'a'='a")]:
        answer = one.get(f"/thumbnail/{name}")
        assert answer.status_code == 404
        assert "etc" not in answer.text


@pytest.mark.parametrize("path", [f"/thumbnail/{key(3)}", "/static/page.css", "/static/icon.svg"])
def test_a_file_that_the_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"another", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"another"'}).content == first.content


def test_a_small_image_that_is_deleted_is_gone_though_a_browser_has_it(tmp_path: Path) -> None:
    folder = filled(tmp_path / "store")
    client = TestClient(app_of(folder))
    tag = client.get(f"/thumbnail/{key(3)}").headers["etag"]
    PostStore(folder, 8, 8).remove([make_removal(global_id="3-imgur")])
    for _ in range(100):  # what is read may be a moment old
        answer = client.get(f"/thumbnail/{key(3)}", headers={"If-None-Match": tag})
        if answer.status_code == 404:
            break
        threading.Event().wait(0.05)
    assert answer.status_code == 404


def test_an_old_store_shows_all_that_it_has(old_client: TestClient) -> None:
    assert [it["size"] for it in get(old_client, "/clusters")["clusters"]] == [4, 3, 2]  # no merge is known of
    found = get(old_client, "/posts/1-reddit")
    assert (found["thumbnail"], found["current_cluster"]) == (None, 0)


def test_a_list_is_taken_away_as_it_is_shown(client: TestClient) -> None:
    answer = client.get("/take-away/posts.csv?source=imgur")
    rows = list(csv.DictReader(StringIO(answer.text)))
    assert {it["global_id"] for it in rows} == {"3-imgur", "4-imgur"}
    assert 'filename="posts.csv"' in answer.headers["content-disposition"]
    lines = client.get("/take-away/clusters.jsonl?sort=rising").text.splitlines()
    assert [orjson.loads(line)["cluster"] for line in lines] == [5]
    network = client.get("/take-away/network.gexf?source=imgur")
    assert "gexf" in network.headers["content-type"]
    assert "reddit" in network.text  # which had it too
    assert "tumblr" not in network.text
    alike = client.get("/take-away/alike.gexf?source=imgur")
    assert alike.text.count("<node ") == 2
    images = pq.read_table(BytesIO(client.get("/take-away/images.parquet?source=imgur").content)).to_pylist()
    assert {it["global_id"]: it["image"] for it in images} == {
        "3-imgur": {"bytes": webp(120)}, "4-imgur": {"bytes": webp(40)},
    }  # fmt: skip
    assert client.get("/take-away/posts.gexf").status_code == 404
    assert client.get("/take-away/network.csv").status_code == 404
    assert client.get("/take-away/posts.exe").status_code == 404
    assert client.get("/take-away/secrets.csv").status_code == 404


def test_hits_and_dead_letters_are_taken_away_too(client: TestClient) -> None:
    (hit,) = csv.DictReader(StringIO(client.get("/take-away/hits.csv?q=cat").text))
    assert (hit["rank"], hit["global_id"], hit["why"], hit["weak"]) == ("1", "1-reddit", "0.90 alike", "False")
    assert "embeddings" not in hit
    letters = [orjson.loads(it) for it in client.get("/take-away/dead-letters.jsonl").text.splitlines()]
    assert [it["stage"] for it in letters] == ["fetch", "parse"]
    assert letters[0]["cause"]
    assert client.get("/take-away/hits.csv").status_code == 404
    assert client.get("/take-away/hits.jsonl?q=dog").text == ""


def test_of_those_who_take_lists_away_at_once_one_is_served(
    store: Path, monkeypatch: pytest.MonkeyPatch, client: TestClient
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        begun.set()
        assert goes_on.wait(60)
        return []

    monkeypatch.setattr("memewax.page.page_downloads._WAIT_SECONDS", 0.01)
    monkeypatch.setattr("memewax.page.page_downloads.clusters_of", slow)
    first = threading.Thread(target=client.get, args=("/take-away/clusters.csv",))
    first.start()
    assert begun.wait(60)
    second = client.get("/take-away/posts.csv")
    goes_on.set()
    first.join()
    assert (second.status_code, "try again" in second.text) == (503, True)
    assert client.get("/take-away/posts.csv").status_code == 200


def test_a_list_of_an_empty_store_is_taken_away_empty(empty_client: TestClient) -> None:
    assert empty_client.get("/take-away/posts.jsonl").text == ""


def test_it_is_well(client: TestClient, empty_client: TestClient) -> None:
    assert client.get("/healthz").text == empty_client.get("/healthz").text == "ok\n"


def test_it_is_read_while_it_is_written_and_put_together(tmp_path: Path) -> None:
    folder = filled(tmp_path / "store")
    client, table, done = TestClient(app_of(folder)), PostStore(folder, 8, 8), threading.Event()

    def write() -> None:
        for number in range(12):
            table.upsert([row(f"{number}-more", 0, 100 + number)])
            table.compact()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        for path in ("/posts", "/posts/1-reddit", "/clusters/0", "/stats"):
            assert get(client, path)
    writer.join()
    seen = 0
    while seen < 22:  # it follows on its own
        seen = get(client, "/posts")["total"]
    assert get(client, "/posts/11-more")["current_cluster"] == 0


def test_the_document_names_every_path(client: TestClient) -> None:
    document = get(client, "/openapi.json")
    assert document == orjson.loads(orjson.dumps(openapi_document()))
    served = {route.path.replace(":path", "").replace(":int", "") for route in client.app.routes}  # type: ignore[attr-defined]
    named = set(document["paths"])
    assert named == {it for it in served if it.startswith(API) and not it.endswith(("openapi.json", "{path}"))}
    for path in document["paths"].values():
        for parameter in path["get"]["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])

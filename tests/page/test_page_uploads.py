"""Search by an image: found by its looks, bounded, kept nowhere; and what is no image is said in a line."""

import asyncio
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from connectors.store.posts_table import PostStore
from dataflows.all_settings import load_settings
from memewax.page import page_uploads
from memewax.page.page_search import PageSearch
from memewax.page.page_uploads import Uploads
from models.fake_models import FakeImage, FakeText
from search.store_reader import StoreReader
from tests.page.stores import MOST_UPLOAD, app_of, key, row

SEARCH = "/api/v1/search"


def image(red: int, form: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(out, form)
    return out.getvalue()


def unit(axis: int) -> Any:
    return [float(it == axis) for it in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads") / "store"
    rows = [row(f"{it}-x", it, it, f"image {it}", picture_sha256=key(it)) for it in range(8)]
    for axis, it in enumerate(rows):
        it["embeddings"] = unit(axis)
        it["models"] = {**it["models"], "embedding": FakeImage.name, "text_embedding": FakeText.name}
    PostStore(folder, 8, 8).upsert(rows)
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> Any:
    return app_of(
        folder, find=PageSearch(load_settings(models="fake", fetch_max_pixels=100_000), StoreReader(folder)).find
    )


@pytest.fixture
def searching(app: Any, request: pytest.FixtureRequest) -> TestClient:
    return TestClient(app, client=(request.node.name, 1))  # who asks seldom


def sent(client: TestClient, data: bytes, kind: str = "image/png", query: str = "") -> Any:
    return client.post(f"{SEARCH}{query}", content=data, headers={"content-type": kind})


def test_an_image_is_found_by_its_looks(searching: TestClient, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    answer = sent(searching, image(3))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert ([it["post"]["global_id"] for it in found["hits"]], found["error"]) == (["3-x"], "")
    assert len(found["weak"]) == 7
    assert sent(searching, image(3), query="?source=nowhere").json()["hits"] == []
    assert sorted(folder.rglob("*")) == before


def test_a_form_sends_an_image_and_words(searching: TestClient) -> None:
    page = searching.post("/search", files={"image": ("a.png", image(5))}, data={"q": ""})
    assert page.status_code == 200
    assert "1 post like your image" in page.text
    answer = searching.post(SEARCH, files={"image": image(5)}, data={"q": "image"})
    assert answer.json()["query"] == "image"
    assert {it["post"]["global_id"] for it in (*answer.json()["hits"], *answer.json()["weak"])} >= {"5-x"}
    assert searching.post("/search", files={"image": b""}, data={"q": ""}).status_code == 200  # none was chosen
    assert searching.post(SEARCH, files={"other": image(5)}).status_code == 400


def bomb() -> bytes:
    """A PNG of a few kB that claims 400 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "bomb": bomb(),
    "cut": image(3, "PNG", (300, 300))[:60],
    "text": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "markup": b"GIF89a/*<script>alert(1)</script>*/",
    "archive": b"PK\x03\x04" + bytes(100),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "zeros": bytes(1000),
    "large": image(3, "PNG", (400, 300)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_image_that_posts_may_have_is_said(searching: TestClient, name: str) -> None:
    answer = sent(searching, HOSTILE[name])
    assert answer.status_code == 200
    assert answer.json()["error"].startswith("the image cannot be decoded: ")
    page = searching.post("/search", files={"image": HOSTILE[name]})
    assert "The search failed" in page.text
    assert "<script>alert" not in page.text


def test_an_image_that_is_something_else_as_well_is_an_image(searching: TestClient) -> None:
    both = image(4) + b"<script>alert(1)</script>PK\x03\x04"
    assert [it["post"]["global_id"] for it in sent(searching, both).json()["hits"]] == ["4-x"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (bytes(MOST_UPLOAD + 1), "image/png", 413),
        (b"a", "text/plain", 415),
        (b"a", "", 415),
        (b"", "image/png", 400),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (b"a", "multipart/form-data", 400),
        (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" * 20 + b"--x--", "multipart/form-data; boundary=x", 400),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused(searching: TestClient, data: bytes, kind: str, status: int) -> None:
    answer = sent(searching, data, kind)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


def test_more_bytes_than_it_says_are_not_read(searching: TestClient) -> None:
    answer = searching.post(SEARCH, content=(bytes(50_000) for _ in range(100)), headers={"content-type": "image/png"})
    assert answer.status_code == 413


def test_one_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_uploads, "_SECONDS", 0.01)

    async def never() -> Any:
        await asyncio.Event().wait()

    async def take() -> None:
        request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", b"image/png")]}, never)
        async with Uploads(100).receive(request):
            pass

    with pytest.raises(HTTPException) as refused:
        asyncio.run(take())
    assert refused.value.status_code == 408


def test_another_site_cannot_send(searching: TestClient) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = searching.post(SEARCH, content=image(3), headers={"content-type": "image/png", **headers})
        assert answer.status_code == 403
    own = {"content-type": "image/png", "origin": "http://testserver"}
    assert searching.post(SEARCH, content=image(3), headers=own).status_code == 200


def test_who_sends_too_often_waits(folder: Path) -> None:
    client = TestClient(app_of(folder))
    assert [sent(client, b"", "text/plain").status_code for _ in range(25)][-1] == 429


def test_more_like_a_post(searching: TestClient) -> None:
    for by in ("looks", "words"):
        found = searching.get(f"{SEARCH}?like=3-x&by={by}").json()
        assert (found["like"], found["by"], found["error"]) == ("3-x", by, "")
        assert "3-x" not in {it["post"]["global_id"] for it in (*found["hits"], *found["weak"])}
        assert "like <a" in searching.get(f"/search?like=3-x&by={by}").text
    assert searching.get(f"{SEARCH}?like=nobody").status_code == 404
    assert searching.get("/search?like=nobody").status_code == 404
    assert searching.get(f"{SEARCH}?like=3-x&q=cat").status_code == 400
    assert searching.get(f"{SEARCH}?like=3-x&by=smell").status_code == 400


def test_a_store_of_another_model_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.fake_models.FakeImage.name", "another@12345678.12345678")
    find = PageSearch(load_settings(models="fake"), StoreReader(folder)).find
    told = sent(TestClient(app_of(folder, find=find)), image(3)).json()
    assert told["hits"] == []
    assert "choose the same model" in told["error"]

"""Who may see the page, and what a browser may do with it."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from connectors.control.control_log import FOLDER, ControlLog
from connectors.store.lance_store import folder_store
from core.errors import SettingsError
from memewax.page.page_access import COOKIE, Access, Rates
from memewax.page.page_server import PageOptions, access_of
from tests.page.stores import app_of, filled

TOKEN = "0123456789abcdef-token"


@pytest.fixture(scope="module")
def app(store: Path) -> object:
    return app_of(store, Access(TOKEN, is_secure=True))


@pytest.fixture
def visitor(app: object) -> TestClient:
    return TestClient(app, base_url="https://page.example", follow_redirects=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/", "/posts/1-reddit", "/api/v1/posts", "/events", "/take-away/posts.csv", f"/thumbnail/{'0' * 64}"])  # fmt: skip
def test_without_the_token_there_is_nothing_to_see(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).status_code == 401
    assert visitor.get(path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert visitor.get(path, headers={"cookie": f"{COOKIE}={TOKEN}"}).status_code == 401  # the cookie is not the token


def test_a_browser_is_asked_for_the_token_and_gets_a_cookie_that_no_script_reads(visitor: TestClient) -> None:
    answer = visitor.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert visitor.get("/login").status_code == 200
    assert visitor.post("/login", data={"token": "wrong"}).status_code == 401
    answer = visitor.post("/login", data={"token": TOKEN})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert all(it in cookie for it in ("httponly", "samesite=lax", "secure"))
    assert TOKEN not in cookie
    assert visitor.get("/").status_code == 200


def test_a_program_brings_the_token(visitor: TestClient) -> None:
    assert visitor.get("/api/v1/stats", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert visitor.get("/healthz").status_code == 200
    assert visitor.post("/login", content=b"token=" + b"x" * 5000).status_code == 413


def test_of_this_machine_only_by_its_names(store: Path) -> None:
    app = app_of(store, Access())
    for name, status in [("localhost:3080", 200), ("127.0.0.1", 200), ("[::1]:3080", 200), ("evil.example", 421), ("", 421)]:  # fmt: skip
        assert TestClient(app).get("/", headers={"host": name}).status_code == status


@pytest.mark.parametrize("path", ["/", "/posts/1-reddit", "/api/v1/stats", "/nowhere", "/static/page.css"])
def test_every_answer_lets_nothing_run_that_is_not_ours(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(it.strip().partition(" ")[::2] for it in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_another_site_asks_for_nothing(client: TestClient) -> None:
    other = {"sec-fetch-site": "cross-site"}
    assert client.get("/api/v1/posts", headers={**other, "sec-fetch-mode": "cors"}).status_code == 403
    assert (
        client.get("/", headers={**other, "sec-fetch-mode": "navigate"}).status_code == 200
    )  # a link that is followed
    assert client.post("/login", headers={**other, "sec-fetch-mode": "navigate"}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/v1/posts").status_code == 405


def test_who_asks_too_often_waits() -> None:
    now = [0.0]
    rates = Rates(2.0, 4.0, lambda: now[0])
    assert [rates.takes("a") for _ in range(5)] == [True] * 4 + [False]
    assert rates.takes("b")
    now[0] = 1.0
    assert [rates.takes("a") for _ in range(3)] == [True, True, False]


def test_a_token_cannot_be_guessed_quickly(visitor: TestClient) -> None:
    tried = [visitor.post("/login", data={"token": str(it)}).status_code for it in range(20)]
    assert tried[-1] == 429


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"host": "0.0.0.0"}, "give a token"),
        ({"host": "0.0.0.0", "token": TOKEN}, "TLS"),
        ({"token": "short"}, "16 characters"),
        ({"certificate": Path("c.pem")}, "--key"),
    ],
)
def test_a_network_is_let_in_with_a_token_over_tls_only(options: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        access_of(PageOptions(folder_store(Path()), **options))  # type: ignore[arg-type]


def test_a_network_is_let_in_where_a_proxy_has_tls() -> None:
    access = access_of(PageOptions(folder_store(Path()), "0.0.0.0", token=TOKEN, is_behind_proxy=True))
    assert access == Access(TOKEN, is_secure=True)


def secret_in(page: str) -> str:
    found = re.search(r'name="secret" value="([^"]+)"', page)
    assert found
    return found[1]


def test_dead_letters_are_replayed_where_that_is_allowed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "store")
    visitor = TestClient(app_of(folder, Access(hosts=frozenset({"testserver"}), may_replay=True)))
    page = visitor.get("/dead-letters").text
    form = {"secret": secret_in(page), "stage": "fetch"}
    (group,) = (it for it in visitor.get("/api/v1/dead-letters").json()["groups"] if it["stage"] == "fetch")
    form["cause"] = group["cause"]
    assert "1 dead letter will be replayed" in visitor.post("/dead-letters/replay", data=form).text
    (request,) = ControlLog(folder / FOLDER).open_after(0, 10)
    assert (request.kind, len(request.body["letters"])) == ("replay", 1)
    assert {it["stage"] for it in visitor.get("/api/v1/dead-letters").json()["groups"]} == {"parse"}
    assert "0 dead letters will be replayed" in visitor.post("/dead-letters/replay", data=form).text


def test_nobody_replays_in_another_s_name_or_where_it_is_not_allowed(tmp_path: Path, client: TestClient) -> None:
    folder = filled(tmp_path / "store")
    visitor = TestClient(app_of(folder, Access(hosts=frozenset({"testserver"}), may_replay=True)))
    form = {"secret": secret_in(visitor.get("/dead-letters").text), "stage": "fetch", "cause": "x"}
    for changed, headers in [
        ({"secret": ""}, {}),
        ({"secret": "guess"}, {}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"origin": "https://evil.example"}),
    ]:
        assert visitor.post("/dead-letters/replay", data={**form, **changed}, headers=headers).status_code == 403
    assert "Replay" not in client.get("/dead-letters").text
    assert client.post("/dead-letters/replay", data=form).status_code == 403
    assert not (folder / FOLDER).exists()

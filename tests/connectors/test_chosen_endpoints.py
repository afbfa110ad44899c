"""What settings name: a source, sinks, and what lies beside them."""

from pathlib import Path
from typing import Any

import pytest

from connectors.chosen_endpoints import Destinations, check_source, folders_of
from connectors.endpoints import POSTS_FROM, POSTS_TO, endpoint
from core.errors import SettingsError, WorldError
from dataflows.all_settings import Settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("to", "path"),
    [
        (("out/store",), "out/store.recovery"),
        (("out/store.v2/",), "out/store.v2.recovery"),
        (("out/records.jsonl",), "out/records.recovery"),
        (("out/records.ndjson",), "out/records.ndjson.recovery"),
        (("kafka://here:9092/posts", "store"), "store.recovery"),
        (("kafka://here:9092/posts",), "memewax.recovery"),
    ],
)
def test_what_lies_beside_the_first_sink_on_this_machine(to: tuple[str, ...], path: str) -> None:
    assert Destinations.of(Settings(to=to)).path_beside("recovery") == Path(path)


def test_beside_the_folder_here_is_a_folder_there(here: Path) -> None:
    assert Destinations.of(Settings(to=(".",))).path_beside("recovery") == here.with_name(f"{here.name}.recovery")


def test_dead_letters_go_beside_the_first_sink_unless_told_otherwise() -> None:
    assert Destinations.of(Settings(to=("store",))).dead_letters.address == "store.dead-letters.jsonl"
    named = Destinations.of(Settings(to=("store",), dead_letters="dead.jsonl"))
    assert named.dead_letters.address == "dead.jsonl"


@pytest.mark.parametrize(
    ("source", "follow", "is_followed"),
    [
        ("kafka://h:1/t", None, True),
        ("a.jsonl", None, False),
        ("reddit:memes", None, False),
        ("kafka://h:1/t", False, False),
        ("a.jsonl", True, True),
    ],
)
def test_topics_are_followed_and_files_are_not(source: str, follow: bool | None, is_followed: bool) -> None:
    options = Settings(source=source, follow=follow).options_of(endpoint(source, POSTS_FROM))
    assert options.follow is is_followed


@pytest.mark.parametrize("to", ["store,records.jsonl", "new/store, other/records.jsonl", "a,b"])
def test_a_list_with_commas_is_no_new_file_with_an_odd_name(to: str) -> None:
    with pytest.raises(SettingsError, match=r"one address.*repeat --to for each address, or give the JSON list \[\""):
        Destinations.of(Settings(to=to))


def test_a_file_with_a_comma_that_is_there_is_one_address(here: Path) -> None:
    (here / "a,b.jsonl").touch()
    (here / "x,y").mkdir()
    found = Destinations.of(Settings(to=("a,b.jsonl", "x,y/records.jsonl")))
    assert [it.address for it in found.sinks] == ["a,b.jsonl", "x,y/records.jsonl"]


def test_posts_go_only_where_messages_go() -> None:
    with pytest.raises(SettingsError, match=r"posts go to a \.jsonl file or kafka"):
        Destinations.of(Settings(to=("store",)), POSTS_TO)


def test_a_store_may_lie_in_a_folder_of_images(here: Path) -> None:
    (here / "images").mkdir()
    given = Settings(source="images", to=("images/store",), dead_letters="dead.jsonl")
    assert Destinations.of(given).sinks[0].address == "images/store"


def test_relative_urls_lie_in_the_folder_of_the_source(here: Path) -> None:
    (here / "images").mkdir()
    assert folders_of(("a/posts.jsonl", "images", "kafka://h:1/t", "reddit:memes")) == {
        here / "a" / "posts.jsonl": here / "a",
        here / "images": here / "images",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"source": "a.jsonl", "to": "./a.jsonl"},
        {"source": ("b.jsonl", "a.jsonl"), "to": "store", "dead_letters": "a.jsonl"},
        {"source": "kafka://h:1/t", "to": "store", "dead_letters": "kafka://127.0.0.1:1/t"},
        {"source": "kafka://h:1/t", "to": "kafka://h:1,i:1/t"},
        {"source": "kafka://h:1/t", "to": "store", "cluster_events": "kafka://h:1/t"},
    ],
)
def test_what_is_read_is_never_written_to(given: dict[str, Any]) -> None:
    with pytest.raises(WorldError, match="is also the source"):
        Destinations.of(Settings(**given))


@pytest.mark.parametrize("source", ["gone.jsonl", "gone"])
def test_a_source_that_is_not_there_is_told_before_anything_is_made(source: str) -> None:
    with pytest.raises(WorldError, match="no such file"):
        check_source(Settings(source=source))


@pytest.mark.parametrize(
    ("content", "is_told"),
    [(b"id,url\n1,x\n", True), (b"<html>\n", True), (b"", False), (b"\n", False), (b'no\n\n{"a": 1}\n', False)],
)
def test_a_file_that_holds_no_json_is_told_before_anything_is_made(
    content: bytes, is_told: bool, tmp_path: Path
) -> None:
    (tmp_path / "posts.jsonl").write_bytes(content)
    settings = Settings(source=(str(tmp_path / "posts.jsonl"),))
    if not is_told:
        check_source(settings)
        return
    with pytest.raises(WorldError, match="holds no JSON in its first lines"):
        check_source(settings)


def test_a_source_elsewhere_is_not_asked_yet() -> None:
    check_source(Settings(source="kafka://h:1/t"))


def test_room_is_made_for_what_is_new_and_nothing_is_overwritten(here: Path) -> None:
    found = Destinations.of(Settings(to=("a/store", "b/records.jsonl", "kafka://h:1/t")))
    for it in found.all():
        it.prepare(here / "recovery", goes_on=False)
    assert (here / "a" / "store").is_dir()
    assert (here / "b" / "records.jsonl").is_file()
    (here / "b" / "records.jsonl").write_bytes(b"mine\n")
    for it in found.sinks:
        it.prepare(here / "recovery", goes_on=True)
    with pytest.raises(WorldError, match="exists already"):
        found.sinks[1].prepare(here / "recovery", goes_on=False)
    (here / "b" / "records.jsonl").unlink()
    with pytest.raises(WorldError, match="would resume after posts already done"):
        found.sinks[1].prepare(here / "recovery", goes_on=True)

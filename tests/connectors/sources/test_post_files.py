"""Posts from files of every form."""

import gzip
import json
import lzma
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from connectors.sources.column_mapping import chosen_columns
from connectors.sources.file_options import FileOptions
from connectors.sources.parse import parse_post, parsed
from connectors.sources.post_files import PostFiles, inspect_file
from connectors.sources.several import Several
from connectors.sources.source import Position, Unit
from connectors.sources.split_messages import SplitMessages, unpacked
from core.errors import WorldError
from core.records import DeadLetter, Message
from core.telemetry import SKIPPED


def options(batch: int = 3, *columns: str, follow: bool = False) -> FileOptions:
    return FileOptions(follow=follow, parts=2, block_bytes=256, batch=batch, columns=chosen_columns(columns))


def units(path: Path, resume: Position | None = None, batch: int = 3, *columns: str) -> list[Unit]:
    place = PostFiles(path, options(batch, *columns)).places()[0]
    place.check()
    found = []
    for number in place.part_numbers(()):
        reader = place.open(number, resume, () if resume is None else (resume,))
        while not reader.ended:
            if (unit := reader.read()) is not None:
                found.append(unit)
        reader.close()
    return found


def messages(path: Path, *columns: str) -> list[Message]:
    return [message for unit in units(path, None, 3, *columns) for message in unit.messages]


def bodies(path: Path, *columns: str) -> list[dict[str, Any]]:
    return [orjson.loads(message.value) for message in messages(path, *columns)]


ROWS = [{"id": str(n), "image_url": f"https://a/{n}.png", "title": f"No {n}"} for n in range(10)]
POSTS = [{"global_id": str(n), "url": f"https://a/{n}.png", "desc": f"No {n}"} for n in range(10)]


def as_csv(rows: Sequence[dict[str, str]]) -> bytes:
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows), ""]).encode()


def as_lines(rows: Sequence[dict[str, str]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


FORMS: dict[str, Callable[[Sequence[dict[str, str]]], bytes]] = {
    "rows.csv": as_csv,
    "rows.tsv": lambda rows: as_csv(rows).replace(b",", b"\t"),
    "rows.json": orjson.dumps,
    "rows.jsonl": as_lines,
    "rows.jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
    "RS_2024-01.zst": lambda rows: zstd.compress(as_lines(rows)),
    "rows.csv.zst": lambda rows: zstd.compress(as_csv(rows)),
    "utf16.jsonl": lambda rows: as_lines(rows).decode().encode("utf-16"),
    "excel.csv": lambda rows: as_csv(rows).decode().encode("utf-16"),
}


@pytest.fixture(params=[*FORMS, "rows.parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made: Path = tmp_path / request.param
    if made.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), made)
    else:
        made.write_bytes(FORMS[request.param](ROWS))
    return made


def test_every_form_gives_the_same_posts(path: Path) -> None:
    assert sorted(bodies(path), key=lambda it: it["global_id"]) == POSTS
    assert all(parse_post(message).url for message in messages(path))


def test_after_any_unit_a_part_goes_on_with_exactly_the_rest(path: Path) -> None:
    if path.name in {"rows.jsonl", "rows.json"}:
        pytest.skip("read in blocks, which has tests of its own")
    whole = units(path)
    for place, unit in enumerate(whole):
        rest = [message.value for it in units(path, unit.resume) for message in it.messages]
        assert rest == [message.value for it in whole[place + 1 :] for message in it.messages]


def test_in_an_array_the_rest_is_exact_among_what_is_no_post(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    odd = [1, 2, POSTS[0], None, "x", "y", POSTS[1], POSTS[2], 3, *range(50_000), POSTS[3]]
    path.write_bytes(b"\n" + orjson.dumps(odd))
    whole = units(path, batch=2)
    assert sum(len(it.messages) for it in whole) < 20
    found = [message.value for it in whole for message in it.messages]
    assert [orjson.loads(it) for it in found if b"{" in it] == POSTS[:4]
    for place, unit in enumerate(whole):
        rest = [message.value for it in units(path, unit.resume, 2) for message in it.messages]
        assert rest == [message.value for it in whole[place + 1 :] for message in it.messages]


def test_a_file_that_grew_goes_on_and_one_that_was_replaced_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(as_csv(ROWS[:6]))
    known = {f"{path}#0": units(path)[-1].resume}

    def read() -> list[str]:
        several = Several([PostFiles(path, options())], known)
        found = []
        for part in several.parts():
            reader = several.open(part, known.get(part))
            while not reader.ended:
                found += [orjson.loads(it.value)["global_id"] for it in getattr(reader.read(), "messages", ())]
        return found

    assert read() == []
    path.write_bytes(as_csv(ROWS))
    assert read() == ["6", "7", "8", "9"]
    path.write_bytes(as_csv(ROWS[3:5]))
    assert read() == ["3", "4"]


def test_a_followed_table_is_read_on_when_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(as_csv(ROWS[:2]) + b"2,https://a/2")
    reader = PostFiles(path, options(10, follow=True)).places()[0].open(0, None, ())
    unit = reader.read()
    assert unit is not None
    assert [orjson.loads(it.value)["global_id"] for it in unit.messages] == ["0", "1"]
    assert reader.read() is None
    assert not reader.ended
    path.write_bytes(as_csv(ROWS[:4]))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5)
    found = [it for _ in range(3) if (it := reader.read())]
    assert [orjson.loads(it.value)["global_id"] for unit in found for it in unit.messages] == ["2", "3"]
    reader.close()


def test_a_packed_file_that_breaks_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    rows = [{"global_id": f"{n}", "url": "a.png", "desc": "x" * (n % 7)} for n in range(20_000)]
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(as_lines(rows))[:-2000])
    found = [parsed(message) for unit in units(path, None, 500) for message in unit.messages]
    *posts, letter = found
    assert isinstance(letter, DeadLetter)
    assert f"is truncated or broken after {len(posts):,} rows: get it again" in letter.reason
    assert [it.global_id for it in posts] == [f"{n}" for n in range(len(posts))]
    assert len(posts) > 18_500


def test_an_array_in_one_line_that_breaks_off_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(orjson.dumps(ROWS)[:-20])
    *found, letter = bodies(path)
    assert found == POSTS[:-1]
    assert letter["wrong"] == "the file is truncated or broken after 9 rows: get it again"


def test_a_file_that_has_another_form_than_before_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    known: dict[str, Position | None] = {}
    for content in (as_lines(ROWS), json.dumps(ROWS, indent=1).encode(), orjson.dumps(ROWS)):
        path.write_bytes(content)
        source = Several([PostFiles(path, options())], known)
        found = []
        for part in source.parts():
            reader = source.open(part, known.get(part))
            while not reader.ended:
                if (unit := reader.read()) is not None:
                    known[part] = unit.resume
                    found += [orjson.loads(it.value) for it in unit.messages]
            reader.close()
        assert sorted(found, key=lambda it: it["global_id"]) == POSTS


def test_a_file_takes_the_place_of_a_source_of_another_kind(path: Path) -> None:
    known = {"bluesky:#0": {"version": 1, "time_us": 5, "seen": b""}}
    source = Several([PostFiles(path, options())], known)
    assert {part.rpartition("#")[0] for part in source.parts()} == {"bluesky:", str(path.resolve())}
    assert source.open("bluesky:#0", known["bluesky:#0"]).ended


def test_a_table_whose_last_line_has_no_end_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"id,image\n1,a.png")
    assert bodies(tmp_path / "rows.csv") == [{"global_id": "1", "url": "a.png"}]


def test_a_row_that_is_none_becomes_a_dead_letter_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(as_csv(ROWS[:2]) + b"7,https://a/7.png,one,too many\n")
    letter = parsed(messages(path)[-1])
    assert isinstance(letter, DeadLetter)
    assert "expected 3 cells, found 4" in letter.reason
    assert b"too many" in letter.message.value


def test_a_row_that_no_json_can_hold_becomes_a_dead_letter(tmp_path: Path) -> None:
    table = pa.table({"url": ["a.png", "b.png"], "n": pa.array([2**70, 1], pa.decimal128(30, 0)), "big": [b"\0", None]})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert [it["url"] for it in bodies(tmp_path / "rows.parquet")] == ["a.png", "b.png"]
    deep = (
        b'{"messages": [\n{"id": 1, "photo": "a.png", "deep": '
        + b"[" * 400
        + b"]" * 400
        + b'},\n{"id": 2, "photo": "b.png"}]}'
    )
    (tmp_path / "result.json").write_bytes(deep)
    first, second = map(parsed, messages(tmp_path / "result.json"))
    assert isinstance(first, DeadLetter)
    assert not isinstance(second, DeadLetter)


def test_columns_without_images_are_told_by_name_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"who,what\na,b\n")
    with pytest.raises(WorldError, match=r"its columns are who, what; .*--column url=COLUMN"):
        units(path)
    path.write_bytes(b"who,what\na,https://a/b\n")
    assert bodies(path, "url=what", "global_id=who") == [{"global_id": "a", "url": "https://a/b"}]


def test_posts_as_they_stand_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b'{"global_id": "1", "url": "a.png", "image_url": "b.png"}\n{"no": "post"}\n')
    assert {it.value for it in messages(path)} == set(path.read_bytes().splitlines())


def submission(number: int, **fields: Any) -> dict[str, Any]:
    usual = {
        "id": f"a{number}", "title": "T &amp; U", "author": "bob", "subreddit": "memes", "created_utc": "1702281600",
        "permalink": f"/r/memes/comments/a{number}/", "url": f"https://i.redd.it/{number}.png", "score": None,
        "is_self": False, "retrieved_on": 1702281700,
    }  # fmt: skip
    return usual | fields


def test_a_dump_of_reddit_gives_images_galleries_and_reasons(tmp_path: Path) -> None:
    gallery = {
        "is_gallery": True,
        "gallery_data": {"items": [{"media_id": "m", "caption": "one"}, {"media_id": "n"}]},
        "media_metadata": {
            it: {"status": "valid", "e": "Image", "s": {"u": f"https://p/{it}.jpg?a=1&amp;b=2"}} for it in "mn"
        },
    }
    rows = [
        submission(1),
        submission(2, **gallery),
        submission(3, url="https://reddit.com/gallery/2", crosspost_parent_list=[submission(2, **gallery)]),
        submission(4, is_self=True, selftext="words"),
        submission(5, removed_by_category="moderator"),
        submission(6, title=None, author=None, url=None),
        submission(7, created_utc="soon"),
    ]
    path = tmp_path / "RS_2023-12.zst"
    path.write_bytes(zstd.compress(as_lines(rows)))
    removed = SKIPPED.labels("files", "removed")._value.get()
    found = bodies(path)
    assert [it.get("global_id") for it in found] == [
        "a1-reddit", "a2_1-reddit", "a2_2-reddit", "a3_1-reddit", "a3_2-reddit", None,
    ]  # fmt: skip
    assert found[0]["desc"] == "T & U"
    assert found[1]["url"] == "https://p/m.jpg?a=1&b=2"
    assert found[0]["created_time"] == "2023-12-11T08:00:00+00:00"
    assert "wrong" in found[-1]
    assert SKIPPED.labels("files", "removed")._value.get() == removed + 1


def test_a_row_of_several_posts_goes_on_in_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'id,images\n1,"https://a/1.png,https://a/2.png,https://a/3.png"\n2,https://a/4.png\n')
    source = SplitMessages(PostFiles(path, options(5)), 2)
    part = source.parts()[0]
    reader = source.open(part, None)
    first = reader.read()
    assert first is not None
    again = source.open(part, first.resume)
    rest = []
    while not again.ended:
        rest += [orjson.loads(it.value)["global_id"] for it in getattr(again.read(), "messages", ())]
    assert [orjson.loads(it.value)["global_id"] for it in first.messages] + rest == ["1_1", "1_2", "1_3", "2"]


def test_in_a_folder_files_of_any_form_are_read_and_strays_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(ROWS[:2]))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(as_lines(ROWS[2:3])))
    (tmp_path / "settings.json").write_bytes(b'{"colour": "red"}')
    (tmp_path / "counts.csv").write_bytes(b"day,count\n1,2\n")
    assert sorted(Path(part).name for part in PostFiles(tmp_path, options()).parts()) == ["a.csv#0", "b.jsonl.gz#0"]


def test_what_a_file_is_is_remembered_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    file.write_text("id,image_url\n1,https://h.example/1.jpg\n")
    found = inspect_file(file, ())
    assert inspect_file(file, ()) is found
    assert found.shape.fields["url"] == "image_url"
    file.write_text("id,photo\n1,https://h.example/1.jpg\n")
    assert inspect_file(file, ()).shape.fields["url"] == "photo"


NO_NUMBERS = [{"id": 1, "image_url": "https://a/1.png", "ups": float("nan")}] + [
    {"id": n, "image_url": f"https://a/{n}.png", "ups": float("inf")} for n in (2, 3)
]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", "\n".join(map(json.dumps, NO_NUMBERS))),  # the last line without an end
        ("rows.json", json.dumps(NO_NUMBERS)),
        ("rows.json", json.dumps(NO_NUMBERS, indent=1)),
    ],
    ids=["lines", "an array a line", "an array of lines"],
)
def test_numbers_that_python_writes_and_json_has_not_are_nothing(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    found = [parse_post(part) for it in messages(tmp_path / name) for part in unpacked(it)]
    assert [(post.global_id, post.score) for post in found] == [("1", 0), ("2", 0), ("3", 0)]


def test_a_table_without_names_loses_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("https://a/1.png,one\nhttps://a/2.png,two\n")
    found = bodies(tmp_path / "a.csv")
    assert [(it["url"], it["column_2"]) for it in found] == [("https://a/1.png", "one"), ("https://a/2.png", "two")]


def test_a_list_as_python_writes_it_is_one(tmp_path: Path) -> None:
    rows = "id,photos\n1,\"['https://a/1.png', 'https://a/2.png']\"\n2,['https://a/3.png']\n3,[]\n"
    (tmp_path / "a.csv").write_text(rows)
    assert [it["url"] for it in bodies(tmp_path / "a.csv")] == [f"https://a/{n}.png" for n in (1, 2, 3)]


@pytest.mark.parametrize("form", ["lines", "array", "csv", "utf-16"])
@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
def test_a_small_packed_file_that_breaks_off_gives_what_is_there(packing: str, form: str, tmp_path: Path) -> None:
    """Also where it does within what is looked at to tell its form."""
    count = 6000 if packing == ".zst" else 300  # whose blocks are large
    rows = [{"id": f"{random.getrandbits(160):x}", "image_url": f"https://a/{n}.png"} for n in range(count)]
    made = {"lines": as_lines, "array": orjson.dumps, "csv": as_csv, "utf-16": as_csv}[form](rows)
    made = made.decode().encode("utf-16") if form == "utf-16" else made
    packed = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd.compress}[packing](made)
    path = tmp_path / f"rows.{'csv' if form in {'csv', 'utf-16'} else 'json'}{packing}"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    *found, last = [parsed(it) for it in messages(path)]
    ids = [it.global_id for it in found if not isinstance(it, DeadLetter)]
    assert ids == [row["id"] for row in rows[: len(ids)]]
    assert len(ids) > count // 4
    assert isinstance(last, DeadLetter)
    assert "get it again" in last.reason


@pytest.mark.parametrize("lines", [1, 2], ids=["an array", "an array a line"])
def test_many_rows_in_one_line_are_read(lines: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    rows = [{"id": n, "image_url": f"https://a/{n}.png"} for n in range(200)]
    size = len(rows) // lines
    path.write_bytes(b"\n".join(orjson.dumps(rows[size * n : size * (n + 1)]) for n in range(lines)))
    assert sorted(int(it["global_id"]) for it in bodies(path)) == list(range(200))
    path.write_bytes(orjson.dumps([*rows, *range(1000)]))
    *found, odd = messages(path)
    assert len(found) == 200
    assert isinstance(parsed(odd), DeadLetter)


def test_a_chosen_column_that_no_row_has_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.csv").write_bytes(as_csv(ROWS))
    assert "desc" not in bodies(tmp_path / "rows.csv", "desc=words", "global_id=id")[0]
    told = capsys.readouterr().out
    assert "no row has these columns" in told
    assert "words" in told
    assert "'title'" in told


def test_rows_without_an_image_are_skipped_where_others_have_one(tmp_path: Path) -> None:
    path = tmp_path / "thread.csv"
    path.write_text("id,body,image_url\n1,a,\n2,b,https://a/2.png\n3,c,\n")
    before = SKIPPED.labels("files", "text")._value.get()
    assert [it["global_id"] for it in bodies(path)] == ["2"]
    assert SKIPPED.labels("files", "text")._value.get() == before + 2
    lines = tmp_path / "thread.jsonl"
    lines.write_text('{"id": 1, "image_url": null}\n{"id": 2, "image_url": "https://a/2.png"}\n{"id": 3}\n')
    assert [it["global_id"] for it in bodies(lines)] == ["2"]
    path.write_text("id,body,image_url\n1,a,\n2,b,\n")
    with pytest.raises(WorldError, match="no known column with images"):
        bodies(path)


@pytest.mark.parametrize("name", ["data", "items", "posts", "results", "children", "data.children", "response.items"])
@pytest.mark.parametrize("form", ["one line", "lines", "packed"])
def test_an_object_that_wraps_one_array_is_read_as_that_array(name: str, form: str, tmp_path: Path) -> None:
    found: Any = ROWS
    for part in reversed(name.split(".")):
        found = {"count": 10, "tags": ["a"], part: found, "next": None}
    made = orjson.dumps(found, option=orjson.OPT_INDENT_2 if form == "lines" else None)
    path = tmp_path / "answer.json"
    path.write_bytes(gzip.compress(made) if form == "packed" else made)
    assert bodies(path) == POSTS
    for place, unit in enumerate(whole := units(path)):
        assert [it for one in units(path, unit.resume) for it in one.messages] == [
            it for one in whole[place + 1 :] for it in one.messages
        ]
    path.write_bytes(made[: made.index(b"No 7")])
    *read, last = messages(path)
    assert [orjson.loads(it.value) for it in read] == POSTS[:7]
    assert b"get it again" in last.value


def test_a_listing_of_reddit_s_is_read(tmp_path: Path) -> None:
    post = {
        "id": "a",
        "subreddit": "memes",
        "permalink": "/x",
        "created_utc": 1,
        "title": "t",
        "url": "https://i.redd.it/a.png",
    }
    path = tmp_path / "new.json"
    path.write_bytes(
        orjson.dumps({"kind": "Listing", "data": {"after": None, "children": [{"kind": "t3", "data": post}]}})
    )
    assert [it["global_id"] for it in bodies(path)] == ["a-reddit"]


@pytest.mark.parametrize(
    "row",
    [
        {"global_id": "1", "url": "a.png", "data": [{"x": 1}]},
        {"id": "1", "url": "https://a/1.png", "children": [{"x": 1}]},
        {"id": "1", "images": [{"url": "https://a/1.png"}]},
    ],
)
def test_a_post_that_holds_an_array_is_a_post(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_bytes(orjson.dumps(row))
    assert [it["global_id"] for it in bodies(path)] == ["1"]

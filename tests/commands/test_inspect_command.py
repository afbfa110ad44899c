"""`memewax inspect`."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from core.errors import WorldError
from memewax.commands.app import app


def inspected(*words: str) -> str:
    done = CliRunner().invoke(app, ["inspect", *words], catch_exceptions=True)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_a_table_is_shown_as_it_would_be_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"Id;Image URL;Title;mood\n1;https://a/1.png;Hi;glad\n2;;Ho;\n3;https://a/3.png;He\n")
    report = orjson.loads(inspected(str(path), "--column", "feeling=mood", "--json"))
    assert report["places"] == [
        {
            "name": str(path),
            "form": "CSV",
            "rows": "rows by the names of their columns",
            "columns": {"feeling": "mood", "url": "Image URL", "global_id": "Id", "desc": "Title"},
            "own": {"feeling": "text"},
        }
    ]
    assert (report["read"], report["posts"], report["is_whole"]) == (2, 1, True)
    assert report["first"] == [
        {"global_id": "1", "url": "https://a/1.png", "desc": "Hi", "score": 0, "feeling": "glad"}
    ]
    assert {reason.partition(":")[0] for reason in report["reasons"]} == {"an entry of no known form"}
    assert report["skipped"] == {"text": 1}
    told = inspected(str(path))
    assert "url = Image URL" in told
    assert "1 post, 1 dead letter" in told


def test_what_is_skipped_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "subreddit": "memes", "permalink": "/x", "created_utc": 1, "title": "t", "is_self": n > 0}
        for n in range(3)
    ]
    rows[0]["url"] = "https://i.redd.it/a.png"
    path = tmp_path / "RS_2024-01.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    told = inspected(str(path))
    assert "a dump of Reddit" in told
    assert "2 skipped: text" in told


def test_images_that_cannot_be_there_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "posts"
    folder.mkdir()
    (folder / "there.png").write_bytes(b"")
    table = folder / "table.csv"
    table.write_text(f"id,image\n1,there.png\n2,{tmp_path}/elsewhere.png\n3,gone.png\n4,https://a/4.png\n")
    report = orjson.loads(inspected(str(table), "--json"))
    assert report["not_here"] == {"a path outside the folder of the source": 1, "no such file": 1}
    assert "1 x no image: a path outside the folder of the source (move the image" in inspected(str(table))
    table.write_text("id,image\n3,gone.png\n")
    with pytest.raises(WorldError, match="no image of the first 1 post of "):
        inspected(str(table))


def test_dates_with_dots_are_times(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"id;image url;posted at;seen\n1;https://a/1.png;24.12.2024 18:05;1.2.2025\n")
    (place,) = orjson.loads(inspected(str(path), "--json"))["places"]
    assert place["columns"]["created_time"] == "posted at"
    assert place["own"] == {"seen": "time"}


def test_where_nothing_can_be_used_it_is_an_error_that_names_the_columns(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"who,what\na,b\n")
    with pytest.raises(WorldError, match="its columns are who, what"):
        inspected(str(tmp_path / "table.csv"))
    (tmp_path / "posts.jsonl").write_bytes(b'{"global_id": 1}\n')
    with pytest.raises(WorldError, match="none of the first 1 row of"):
        inspected(str(tmp_path / "posts.jsonl"))


@pytest.mark.parametrize("content", ["", "id,image_url,title\n"])
def test_a_file_without_rows_is_an_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(WorldError, match="has no rows"):
        inspected(str(tmp_path / "rows.csv"))


def test_a_folder_of_images_is_inspected(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert "global_id: a.png-" in inspected(str(tmp_path))

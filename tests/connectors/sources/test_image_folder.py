"""Folders of images, each of which becomes a post."""

import os
import re
import shutil
from pathlib import Path

import pytest

from connectors.sinks.rows import json_of_dead_letter
from connectors.sources import image_folder as images
from connectors.sources.image_folder import Images, holds_images
from connectors.sources.parse import parse_post
from connectors.sources.source import Position, Reader, Unit
from core.errors import BadRecordError, WorldError
from core.records import DeadLetter, Message


def put(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    before = max((it.stat().st_ctime_ns for it in folder.rglob("*") if it.is_file()), default=0)
    path.touch()
    while path.stat().st_ctime_ns == before:  # the clock of a file system is coarse
        path.touch()


def opened(folder: Path, part: int = 0, resume: Position | None = None, **settings: int) -> Reader:
    source = Images(folder, follow=bool(settings.pop("follow", 0)), **{"parts": 1, "batch": 3, **settings})
    return source.open(source.parts()[part], resume)


def read_all(reader: Reader) -> list[Unit]:
    return list(iter(reader.read, None))


def names(units: list[Unit]) -> list[str]:
    return [parse_post(message).url for unit in units for message in unit.messages]


def only_message(folder: Path) -> Message:
    ((found,),) = [unit.messages for unit in read_all(opened(folder))]
    return found


def test_an_image_becomes_a_post_named_after_it(tmp_path: Path) -> None:
    put(tmp_path, "cats/two_grumpy-cats.JPG")
    found = only_message(tmp_path)
    post = parse_post(found)
    assert re.fullmatch(r"cats/two_grumpy-cats\.JPG-[0-9a-f]{6}-folder", post.global_id)
    assert post.url == "cats/two_grumpy-cats.JPG"
    assert (post.description, post.source) == ("two grumpy cats", "folder")
    assert found.origin == f"file:{tmp_path}/cats/two_grumpy-cats.JPG"


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    assert not read_all(opened(tmp_path))


def test_images_come_in_the_order_of_their_change(tmp_path: Path) -> None:
    for name in ("b.png", "c.png", "a.png"):
        put(tmp_path, name)
    assert names(read_all(opened(tmp_path))) == ["b.png", "c.png", "a.png"]


def test_a_unit_holds_at_most_a_batch(tmp_path: Path) -> None:
    for number in range(7):
        put(tmp_path, f"{number}.png")
    assert [len(unit.messages) for unit in read_all(opened(tmp_path, batch=3))] == [3, 3, 1]


def test_the_parts_have_every_image_once(tmp_path: Path) -> None:
    expected = {f"{number}.png" for number in range(40)}
    for name in expected:
        put(tmp_path, name)
    shares = [names(read_all(opened(tmp_path, part, parts=4))) for part in range(4)]
    assert sorted(name for share in shares for name in share) == sorted(expected)
    assert all(shares)


def test_the_parts_take_turns(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path, f"{number}.png")
    turns = [[unit.turn for unit in read_all(opened(tmp_path, part, parts=2))] for part in range(2)]
    assert turns == [list(range(part, part + 2 * len(turns[part]), 2)) for part in range(2)]


def test_after_any_unit_a_part_goes_on_with_exactly_the_rest(tmp_path: Path) -> None:
    for number in range(10):
        put(tmp_path, f"{number}.png")
    units = read_all(opened(tmp_path))
    for number, unit in enumerate(units):
        assert read_all(opened(tmp_path, resume=unit.resume)) == units[number + 1 :]


def test_what_comes_between_runs_is_read_by_the_next(tmp_path: Path) -> None:
    put(tmp_path, "b.png")
    position = read_all(opened(tmp_path))[-1].resume
    put(tmp_path, "a.png")
    assert names(read_all(opened(tmp_path, resume=position))) == ["a.png"]


def test_a_followed_folder_shows_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_LIST_SECONDS", 0.0)
    monkeypatch.setattr(images, "_REST_SECONDS", 0.0)
    put(tmp_path, "b.png")
    reader = opened(tmp_path, follow=1)
    assert names(read_all(reader)) == ["b.png"]
    assert not reader.ended
    put(tmp_path, "a.png")
    assert names(read_all(reader)) == ["a.png"]


def test_a_followed_folder_is_not_listed_all_the_time(tmp_path: Path) -> None:
    reader = opened(tmp_path, follow=1)
    put(tmp_path, "a.png")
    assert reader.read() is None


def test_it_ends_after_the_last_image(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    reader = opened(tmp_path)
    assert (reader.ended, reader.lag()) == (False, 1)
    reader.read()
    assert (reader.ended, reader.lag()) == (True, 0)


def test_a_name_that_is_not_utf8_becomes_a_dead_letter_with_its_bytes(tmp_path: Path) -> None:
    put(tmp_path, os.fsdecode(b"caf\xe9.png"))
    found = only_message(tmp_path)
    assert found.value == b"caf\xe9.png"
    with pytest.raises(BadRecordError) as caught:
        parse_post(found)
    letter = DeadLetter(found, "parse", "BadRecordError", str(caught.value))
    assert rb"caf\\xe9.png" in json_of_dead_letter(letter)


def test_a_name_with_a_colon_is_still_a_path(tmp_path: Path) -> None:
    put(tmp_path, "file:1.png")
    assert parse_post(only_message(tmp_path)).url == "./file:1.png"


def test_a_folder_stays_dealt_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    position = read_all(opened(tmp_path))[0].resume
    for number in range(9):
        put(tmp_path, f"{number}.png")
    assert len(names(read_all(opened(tmp_path, resume=position, parts=2)))) == 9


def test_images_of_two_folders_have_ids_of_their_own(tmp_path: Path) -> None:
    ids = set()
    for name in ("a/pics", "b/pics"):
        (tmp_path / name).mkdir(parents=True)
        put(tmp_path / name, "1.png")
        ids.add(parse_post(only_message(tmp_path / name)).global_id)
    assert len(ids) == 2


def test_a_folder_of_old_images_that_is_moved_in_is_read(tmp_path: Path) -> None:
    folder, old = tmp_path / "pics", tmp_path / "old"
    folder.mkdir()
    old.mkdir()
    put(old, "old.png")
    put(folder, "new.png")
    position = read_all(opened(folder))[-1].resume
    old.rename(folder / "from_2023")
    assert names(read_all(opened(folder, resume=position))) == ["from_2023/old.png"]


def test_an_image_that_is_replaced_is_read_again_and_one_that_is_touched_or_copied_is_not(tmp_path: Path) -> None:
    folder, copy = tmp_path / "pics", tmp_path / "copy"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(name.encode() * 5000)
    position = read_all(opened(folder))[-1].resume
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    os.utime(copy / "a.png", (1, 1))
    assert not read_all(opened(copy, resume=position))
    (copy / "a.png").write_bytes(b"other" * 5000)
    assert names(read_all(opened(copy, resume=position))) == ["a.png"]


def test_an_image_that_is_still_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_LIST_SECONDS", 0.0)
    (tmp_path / "half.png").write_bytes(b"half")
    reader = opened(tmp_path, follow=1)
    assert not read_all(reader)
    os.utime(tmp_path / "half.png", (1, 1))
    assert names(read_all(reader)) == ["half.png"]
    (tmp_path / "half.png").write_bytes(b"half and the rest")
    os.utime(tmp_path / "half.png", (2, 2))
    assert names(read_all(reader)) == ["half.png"], "more of it has come, so it is another image"


def test_positions_of_an_older_version_go_on_with_the_ids_that_they_made(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path, name)
    changed = (tmp_path / "a.png").stat().st_ctime_ns
    old = {"version": 1, "parts": 1, "changed_ns": changed, "name": "a.png", "turn": 1}
    (unit,) = read_all(opened(tmp_path, resume=old))
    assert [parse_post(it).global_id for it in unit.messages] == ["b.png-folder"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no such folder"):
        opened(tmp_path / "gone")


def test_whether_a_folder_holds_images(tmp_path: Path) -> None:
    assert not holds_images(tmp_path)
    put(tmp_path, "deeper/a.webp")
    assert holds_images(tmp_path)


def test_an_image_that_is_replaced_is_an_edit_of_its_post(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (first,) = read_all(opened(tmp_path))
    (tmp_path / "b.draft").write_bytes(b"another one")
    (tmp_path / "b.draft").replace(tmp_path / "a.png")
    (second,) = read_all(opened(tmp_path, resume=first.resume))
    before, after = (parse_post(unit.messages[0]) for unit in (first, second))
    assert before.global_id == after.global_id
    assert before.edited is not None
    assert after.edited is not None
    assert after.edited > before.edited

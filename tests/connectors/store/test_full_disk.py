"""A disk that is really full: one line, and all is there once when there is room again."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connectors.endpoints import open_store
from core.errors import WorldError
from dataflows.all_settings import load_settings
from tests.connectors.store.dealt import Dealt
from tests.connectors.store.test_every_store import rows_of
from tests.connectors.store.test_removed_posts import row
from tests.factories import POSTS

ROWS = 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of its own takes root and the right to mount one")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def batch(number: int) -> list[dict[str, Any]]:
    chance = Random(number)
    return [row(f"{number}_{it}-a", description=chance.randbytes(2000).hex()) for it in range(ROWS)]


def test_nothing_is_lost_or_doubled_by_a_disk_that_is_full(small_disk: Path) -> None:
    store = open_store(str(small_disk / "store"), load_settings())
    writer, written = Dealt(store, POSTS), 0

    def fill() -> None:
        nonlocal written
        while written < 100:
            writer.upsert(batch(written))
            written += 1

    with pytest.raises(WorldError, match=r"^the store cannot be written: No space left on device$"):
        fill()
    assert len(rows_of(store)) == written * ROWS
    with store.write_lock(), pytest.raises(WorldError, match=r"cannot be compacted: No space left on device$"):
        store.compact()
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    again = open_store(str(small_disk / "store"), load_settings())
    goes_on = Dealt(again, POSTS, writer.mark())
    for number in range(written + 2):
        goes_on.upsert(batch(number))
    with again.write_lock():
        again.compact()
    assert len(rows_of(again)) == (written + 2) * ROWS

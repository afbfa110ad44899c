"""Backfill of thumbnails: fetch the images of posts without one, such as those of an older store, again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from connectors.fetching.fetch import Fetching
from connectors.folder import Folder
from connectors.sinks.record_table import IMAGE_COLUMN, POSTS, THUMBNAILS, posts_table
from connectors.store.interface import Condition
from connectors.store.lance_tables import LanceTables
from connectors.store.posts_table import PostRows
from connectors.store.store_maintenance import check_there_in
from connectors.writer_locks import all_locked, lock_files
from core.causes import cause_of
from core.records import Failure, Message, Post, Thumbnail

_AT_ONCE: Final = 32
"""Posts whose images are fetched concurrently: each image may be held in memory."""
_WRITTEN: Final = 256
"""Thumbnails per write."""
_IMAGE: Final = IMAGE_COLUMN.column.name


@dataclass(slots=True)
class AddedImages:
    """Progress of a backfill, in posts."""

    posts: int = 0
    added: int = 0
    changed: int = 0
    """Posts whose image file differs from the one that was analysed."""
    failed: Counter[str] = field(default_factory=Counter)
    """Posts whose image could not be fetched, by cause."""


def posts_without(store: Path) -> Iterator[Post]:
    """Yield the posts of a store whose thumbnail is missing; raises `WorldError`."""
    tables = LanceTables.at(store)
    check_there_in(tables, [POSTS])
    known: set[str] = set()
    if tables.has(THUMBNAILS.name):
        for batch in tables.table(THUMBNAILS.name).batches([THUMBNAILS.key]):
            known.update(batch.column(0).to_pylist())
    for batch in tables.table(POSTS).batches(["global_id", "url", _IMAGE], [Condition("url", "is not null")]):
        for row in batch.to_pylist():
            image = row.get(_IMAGE)
            if row["url"] and image not in known:
                yield Post(row["global_id"], row["url"], Message(b"", "thumbnails"), picture_sha256=image)


def add_images(store: Path, fetching: Fetching) -> Iterator[AddedImages]:
    """Fetch the images of all posts without a thumbnail and write their thumbnails; yield the progress per batch.

    Other posts stay unchanged. The store is locked during writes only, so that a flow may start in between: then the
    next write fails, and the thumbnails written so far stay.

    Raises:
        BusyError: if a flow is writing the store.
        WorldError: if the store cannot be read or written.
    """
    done = AddedImages()
    with _writing(store):
        pass  # fail before the first fetch if the store cannot be written
    posts = posts_without(store)
    small: list[Thumbnail] = []
    while some := list(islice(posts, _AT_ONCE)):
        done.posts += len(some)
        small += _fetched(fetching, some, done)
        if len(small) >= _WRITTEN:
            done.added += _write(store, small)
            small = []
        yield done
    if small:
        done.added += _write(store, small)
    yield done


def _fetched(fetching: Fetching, posts: Sequence[Post], done: AddedImages) -> Iterator[Thumbnail]:
    for post, it in zip(posts, fetching.start(posts), strict=True):
        arrival = it.result() if isinstance(it, Future) else it
        if isinstance(arrival.image, Failure):
            done.failed[cause_of(arrival.image.reason).what] += 1
        elif post.picture_sha256 not in (None, arrival.post.picture_sha256):
            done.changed += 1
        elif arrival.thumbnail is not None:
            yield Thumbnail(arrival.post, arrival.thumbnail, arrival.width, arrival.height)


def _write(store: Path, small: list[Thumbnail]) -> int:
    with _writing(store):
        schema = LanceTables.at(store).table(POSTS).schema
        image, text = (schema.field(name).type.list_size for name in ("embeddings", "text_embedding"))
        return PostRows(store, posts_table(image, text)).add_images(small)


def _writing(store: Path) -> AbstractContextManager[list[int]]:
    return all_locked(lock_files([Folder.at(store)]))

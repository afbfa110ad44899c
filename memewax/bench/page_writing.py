"""Writes posts into a store at a steady rate, in a process of its own, as a flow does."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.store.posts_table import PostStore
from core.records import Message, Post, Thumbnail
from core.telemetry import configure_logging
from memewax.bench.page_store import LikePosts, key_of

_SIDE = 640


@contextmanager
def writing(folder: Path, start: int, a_second: int, like: LikePosts) -> Iterator[Any]:
    """New posts, from a number on, with their small images; gives the count of those that are written."""
    context = multiprocessing.get_context("spawn")
    done, ends = context.Value("q", 0), context.Event()
    process = context.Process(target=_write, args=(folder, start, a_second, like, done, ends), daemon=True)
    if a_second:
        process.start()
    try:
        yield done
    finally:
        ends.set()
        if a_second:
            process.join()


def _write(folder: Path, start: int, a_second: int, like: LikePosts, done: Any, ends: Any) -> None:
    configure_logging("error")
    store = PostStore(folder, like.dimension, like.text_vectors.shape[1])
    begun = time.monotonic()
    while not ends.is_set():
        begin = start + done.value
        numbers = range(begin, begin + a_second)
        store.show([Thumbnail(_post(it), like.image(it), _SIDE, _SIDE) for it in numbers])
        store.upsert(like.rows(begin, a_second, thumbnails=begin + a_second))
        done.value += a_second
        ends.wait(max(0.0, begun + done.value / a_second - time.monotonic()))


def _post(number: int) -> Post:
    return Post(f"{number:08d}", "", Message(b"", ""), picture_sha256=key_of(number))

"""Writer of posts into a store at a steady rate, in a separate process, as a flow does."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.store.posts_table import PostStore
from core.records import Message, Post, Thumbnail
from core.telemetry import configure_logging
from memewax.bench.page_store import SyntheticPosts, thumbnail_key

_SIDE = 640


@contextmanager
def writing(folder: Path, start: int, rate: int, synthetic: SyntheticPosts) -> Iterator[Any]:
    """Write new posts and thumbnails during the block; yield the shared counter of posts written.

    Args:
        folder: Folder of the store.
        start: Number of the first post.
        rate: Posts per second, written in one batch per second; 0: none.
        synthetic: Generator of the posts.
    """
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    process = context.Process(target=_write, args=(folder, start, rate, synthetic, done, stop), daemon=True)
    if rate:
        process.start()
    try:
        yield done
    finally:
        stop.set()
        if rate:
            process.join()


def _write(folder: Path, start: int, rate: int, synthetic: SyntheticPosts, done: Any, stop: Any) -> None:
    configure_logging("error")
    store = PostStore(folder, synthetic.dimension, synthetic.text_vectors.shape[1])
    begun = time.monotonic()
    while not stop.is_set():
        first = start + done.value
        numbers = range(first, first + rate)
        store.write_thumbnails([Thumbnail(_post(it), synthetic.image(it), _SIDE, _SIDE) for it in numbers])
        store.upsert(synthetic.rows(first, rate, thumbnails=first + rate))
        done.value += rate
        stop.wait(max(0.0, begun + done.value / rate - time.monotonic()))


def _post(number: int) -> Post:
    return Post(f"{number:08d}", "", Message(b"", ""), picture_sha256=thumbnail_key(number))

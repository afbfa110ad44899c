"""The words of posts as integers, so that the keywords of clusters can be counted with NumPy."""

import threading
import time
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.bounded_dict import BoundedDict
from search.cluster_summaries import keywords

_NO_LETTERS: Final = r"[^\p{L}]+"
_LEAST: Final = 3
"""Fewest letters of a word."""
_MOST: Final = 2**20
"""Size limit of the vocabulary: later words are rare, or made up to fill memory."""
_LONGEST_TEXT: Final = 20_000
"""Characters of a post that are read."""
_LONGEST_WORD: Final = 40
_CLUSTERS: Final = 50_000
"""Clusters whose keywords are cached."""
_LARGE: Final = 500
"""Size of a cluster above which a few more posts hardly change its keywords, which take long to count."""
_KEYWORDS_SECONDS: Final = 10.0
"""For which the keywords of a large cluster are cached, even if it changes."""
_GARBAGE: Final = 2**20
"""Stale word numbers from which on the others are compacted."""


class PostWords:
    """The set of words of each row, as numbers of a shared vocabulary. Thread-safe."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._words: list[str] = []
        self._posts_with = np.zeros(1024, np.int64)
        """Document frequency of each word, shape (vocabulary,)."""
        self._flat = np.zeros(0, np.int32)
        self._used = 0
        self._start = np.zeros(0, np.int64)
        self._count = np.zeros(0, np.int32)
        self._keywords: BoundedDict[int, tuple[tuple[int, int, int], float, tuple[str, ...]]] = BoundedDict(_CLUSTERS)
        self._lock = threading.RLock()
        """Held while the numbers are read or changed."""

    def put(self, rows: NDArray[np.int64], texts: list[pa.Array]) -> None:
        """Replace the words of rows.

        Args:
            rows: Row numbers, shape (n,).
            texts: Columns of text, each with one element per row.
        """
        if not len(rows):
            return
        at, words = self._read(texts)
        with self._lock:
            self._put(rows, at, words)

    def drop(self, rows: NDArray[np.int64]) -> None:
        """Remove the words of rows."""
        with self._lock:
            rows = rows[rows < len(self._count)]
            words = self.of(rows)
            if len(words):
                self._count_posts(words, -1)
                self._count[rows] = 0
                self._compact()

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the word numbers of rows, concatenated."""
        with self._lock:
            rows = rows[rows < len(self._count)]
            start, count = self._start[rows], self._count[rows].astype(np.int64)
            ends = np.cumsum(count)
            total = int(ends[-1]) if len(ends) else 0
            places = np.repeat(start - (ends - count), count) + np.arange(total)
            found: NDArray[np.int32] = self._flat[places]
            return found

    def keywords(self, cluster: int, rows: NDArray[np.int64]) -> tuple[str, ...]:
        """Return the keywords of a cluster; see `cluster_summaries.keywords`.

        They are cached until a row of the cluster is added, removed or rewritten; those of a large cluster are cached
        for at least some seconds.

        Args:
            cluster: Id of the cluster.
            rows: Its row numbers.
        """
        with self._lock:
            known_rows = rows[rows < len(self._start)]
            state = len(rows), int(self._start[known_rows].sum()), int(self._count[known_rows].sum())
        known, now = self._keywords.get(cluster), time.monotonic()
        is_fresh = known is not None and (known[0] == state or (len(rows) > _LARGE and now < known[1]))
        if known is None or not is_fresh:
            known = self._keywords[cluster] = state, now + _KEYWORDS_SECONDS, self._count_keywords(rows)
        return known[2]

    def _count_keywords(self, rows: NDArray[np.int64]) -> tuple[str, ...]:
        numbers, here = np.unique(self.of(rows), return_counts=True)
        everywhere = self._posts_with
        more = here > 1
        counted = {self._words[it]: int(count) for it, count in zip(numbers[more], here[more], strict=True)}
        known = {self._words[it]: max(int(everywhere[it]), counted[self._words[it]]) for it in numbers[more]}
        return keywords(counted, int(here.sum()), known, int(everywhere.sum()))

    def _put(self, rows: NDArray[np.int64], at: NDArray[np.int64], words: NDArray[np.int32]) -> None:
        self.drop(rows)
        self._make_room(int(rows.max()) + 1)
        counts = np.bincount(at, minlength=len(rows)).astype(np.int32)
        self._start[rows] = self._used + np.cumsum(counts) - counts
        self._count[rows] = counts
        end = self._used + len(words)
        if end > len(self._flat):
            longer = np.zeros(max(end, len(self._flat) * 3 // 2), np.int32)
            longer[: self._used] = self._flat[: self._used]
            self._flat = longer
        self._flat[self._used : end] = words
        self._used = end
        self._count_posts(words, 1)

    def _read(self, texts: list[pa.Array]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Split texts into words; return position of the post and word number of each distinct pair, by post."""
        cut = [pc.fill_null(pc.utf8_slice_codeunits(it, 0, _LONGEST_TEXT), "") for it in texts]
        joined = pc.utf8_lower(pc.binary_join_element_wise(*cut, " "))
        lists = pc.split_pattern_regex(joined, _NO_LETTERS)
        words, posts = lists.flatten(), pc.list_parent_indices(lists)
        kept = pc.greater_equal(pc.utf8_length(words), _LEAST)
        encoded = pc.utf8_slice_codeunits(words.filter(kept), 0, _LONGEST_WORD).dictionary_encode()
        known = np.array([self._number(it) for it in encoded.dictionary.to_pylist()], np.int64)
        numbers = known[encoded.indices.to_numpy()] if len(known) else np.zeros(0, np.int64)
        at = posts.filter(kept).to_numpy().astype(np.int64)
        pairs = np.unique((at << 32 | numbers)[numbers >= 0])
        return pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)

    def _number(self, word: str) -> int:
        number = self._numbers.get(word, -1)
        if number < 0 and len(self._words) < _MOST:
            number = self._numbers[word] = len(self._words)
            self._words.append(word)
            if number >= len(self._posts_with):
                self._posts_with = np.concatenate([self._posts_with, np.zeros_like(self._posts_with)])
        return number

    def _count_posts(self, words: NDArray[np.int32], by: int) -> None:
        if len(words):
            counts = np.bincount(words)
            self._posts_with[: len(counts)] += by * counts

    def _make_room(self, height: int) -> None:
        if height > len(self._count):
            room = max(height, len(self._count) * 3 // 2, 1024)
            start, count = np.zeros(room, np.int64), np.zeros(room, np.int32)
            start[: len(self._start)], count[: len(self._count)] = self._start, self._count
            self._start, self._count = start, count

    def _compact(self) -> None:
        there = int(self._count.sum())
        if self._used - there > max(_GARBAGE, there):
            rows = np.flatnonzero(self._count)
            self._flat = self.of(rows)
            self._used = len(self._flat)
            counts = self._count[rows]
            start = self._start.copy()
            start[rows] = np.cumsum(counts) - counts
            self._start = start

"""The exemplars of a stream in arrays of bounded length, with a nearest-neighbour search over them."""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from core.records import Vector
from models.arrays import BoolArray, Float16Array, Float32Array, Float64Array, Int64Array
from models.clusterers.patches import CELLS, WORDS, Codes
from models.clusterers.whitening_transform import WhiteningTransform

_SKETCH_BITS: Final = 256
"""Length of the binary codes (signs of random projections) by which candidates are searched."""
_SKETCH_BYTES: Final = _SKETCH_BITS // 8
_SHORTLIST: Final = 128
"""Exemplars of least Hamming distance, which are then compared exactly."""
_EXACT: Final = 512
"""Up to this many exemplars, all are compared exactly."""
_SEED: Final = 2
_MUTABLE: Final = ("clusters", "posts", "seen", "places", "urls")
"""Columns of a snapshot. The others never change or follow from the rest."""
_BATCH: Final = 4096
"""Rows that are whitened or moved at a time, to bound the memory of their float64 copies."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An image prepared for comparison with the exemplars."""

    point: Float16Array
    """The whitened embedding: a unit vector, shape (directions,)."""
    sketch: NDArray[np.uint8]
    """Signs of its random projections, packed: shape (32,)."""
    codes: Codes | None
    """Of its patches, if it has some."""


def quantize(embedding: Vector) -> tuple[NDArray[np.int8], np.float32]:
    """Quantize an embedding to int8, -127 to 127; return it and the scale to multiply it by."""
    scale = np.float32(max(float(np.abs(embedding).max()), 1e-30) / 127)
    return np.rint(embedding / scale).astype(np.int8), scale


@cache
def row_type(dimension: int) -> np.dtype[np.void]:
    """Return the dtype of what never changes of an exemplar, which is appended to the log once.

    `numbers` times `scale` is the embedding. `codes` are those of its patches if `coded`. `post` and `author` are
    hashes.
    """
    return np.dtype(
        [
            ("numbers", np.int8, dimension),
            ("scale", np.float32),
            ("codes", np.uint64, (CELLS, WORDS)),
            ("coded", np.bool_),
            ("post", np.uint64),
            ("author", np.uint64),
        ]
    )


class ExemplarGallery:
    """A table of n exemplars. The properties are views of its columns, by row."""

    def __init__(self, dimension: int, most: int) -> None:
        """Allocate `most` rows; the operating system provides the memory when rows are written.

        Args:
            dimension: Embedding dimension.
            most: Exemplars at most.
        """
        self.dimension = dimension
        self._most = most
        self._count = 0
        self._arrays: dict[str, NDArray[Any]] = {
            "fixed": np.zeros(most, row_type(dimension)),
            "clusters": np.zeros(most, np.int64),
            "posts": np.zeros(most, np.int32),
            "seen": np.zeros(most, np.int64),
            "places": np.zeros(most, np.int64),
            "urls": np.zeros(most, np.int64),
            "points": np.zeros((most, 0), np.float16),
            "sketches": np.zeros((most, _SKETCH_BYTES), np.uint8),
        }
        self._planes: Float64Array = np.zeros((0, _SKETCH_BITS))
        self.whitening: WhiteningTransform | None = None
        """The transform that exemplars are compared in; None until one is fitted."""
        self.distinct_clusters = 0
        """Clusters of the exemplars, including those of a single image."""

    def __len__(self) -> int:
        """Return the number of exemplars, n."""
        return self._count

    @property
    def fixed(self) -> NDArray[np.void]:
        """Return what never changes, as `row_type`: shape (n,)."""
        return self._arrays["fixed"][: self._count]

    @property
    def clusters(self) -> Int64Array:
        """Return the ids of the exemplars' clusters, shape (n,)."""
        return self._arrays["clusters"][: self._count]

    @property
    def posts(self) -> NDArray[np.int32]:
        """Return how many posts each exemplar represents, shape (n,)."""
        return self._arrays["posts"][: self._count]

    @property
    def seen(self) -> Int64Array:
        """Return when each last represented a new post, in posts since the start: shape (n,)."""
        return self._arrays["seen"][: self._count]

    @property
    def places(self) -> Int64Array:
        """Return the offset of each in the log, -1 if it is not there yet: shape (n,)."""
        return self._arrays["places"][: self._count]

    @property
    def urls(self) -> Int64Array:
        """Return hashes of the images' URLs (`hash_of_url`), 0 if unknown: shape (n,)."""
        return self._arrays["urls"][: self._count]

    @property
    def points(self) -> Float16Array:
        """Return the whitened embeddings: unit vectors, shape (n, directions)."""
        return self._arrays["points"][: self._count]

    def append(self, fixed: NDArray[np.void], cluster: int, now: int, probe: Probe | None, url: int) -> int:
        """Append an exemplar and return its row. `fixed` has shape (1,); `probe` is None before whitening."""
        row, self._count = self._count, self._count + 1
        self.fixed[row : row + 1] = fixed
        self.clusters[row], self.posts[row], self.seen[row], self.places[row] = cluster, 1, now, -1
        self.urls[row] = url
        if probe is not None:
            self.points[row], self._sketches[row] = probe.point, probe.sketch
        return row

    def probe(self, numbers: NDArray[np.int8], scale: np.float32, codes: Codes | None) -> Probe | None:
        """Prepare the quantized embedding of a new image for comparison; None before whitening is fitted."""
        if self.whitening is None:
            return None
        point = self.whitening.apply(numbers * scale)
        return Probe(point.astype(np.float16), self._sketch(point[None])[0], codes)

    def probe_of(self, row: int) -> Probe:
        """Prepare an exemplar for comparison with the others."""
        codes = self.fixed["codes"][row] if self.fixed["coded"][row] else None
        return Probe(self.points[row], self._sketches[row], codes)

    def set_whitening(self, whitening: WhiteningTransform) -> None:
        """Set the transform and apply it to all exemplars."""
        self.whitening = whitening
        directions = whitening.matrix.shape[1]
        if len(self._planes) != directions:
            self._planes = np.random.default_rng(_SEED).normal(size=(directions, _SKETCH_BITS))
        self._arrays["points"] = np.zeros((self._most, directions), np.float16)
        for start in range(0, self._count, _BATCH):
            rows = self.fixed[start : min(start + _BATCH, self._count)]
            points = whitening.apply(rows["numbers"] * rows["scale"][:, None])
            self.points[start : start + len(rows)] = points
            self._sketches[start : start + len(rows)] = self._sketch(points)

    def cosines(self, probe: Probe, rows: Int64Array) -> Float32Array:
        """Return the cosines of the image and the exemplars in `rows` after whitening: both have shape (n,)."""
        return self.points[rows].astype(np.float32) @ probe.point.astype(np.float32)

    def nearest(self, probe: Probe, most: int) -> tuple[Int64Array, Float32Array]:
        """Return the rows of the `most` nearest exemplars, or fewer, and their cosines, highest first.

        Beyond 512 exemplars the search is approximate: a shortlist by Hamming distance of the sketches comes first.
        """
        if self._count <= _EXACT:
            rows = np.arange(self._count)
        else:
            faiss.omp_set_num_threads(1)  # for this thread: with one query, several would only wait for each other
            rows = faiss.knn_hamming(probe.sketch[None], self._sketches, _SHORTLIST)[1][0]
        cosines = self.cosines(probe, rows)
        first = np.argsort(-cosines, kind="stable")[:most]
        return rows[first], cosines[first]

    def retain(self, kept: BoolArray) -> None:
        """Evict the rows where `kept`, of shape (n,), is False."""
        rows = np.flatnonzero(kept)
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            for array in self._arrays.values():
                array[start : start + len(some)] = array[some]
        self._count = len(rows)

    def state(self) -> dict[str, Any]:
        """Return a snapshot of the columns that change."""
        return {name: _pack(self._arrays[name][: self._count]) for name in _MUTABLE}

    @classmethod
    def places_in(cls, state: dict[str, Any]) -> Int64Array:
        """Return the offsets in the log of a snapshot's rows, shape (n,)."""
        return _unpack(state["places"])

    @classmethod
    def of(cls, dimension: int, most: int, state: dict[str, Any], fixed: NDArray[np.void]) -> "ExemplarGallery":
        """Restore a snapshot; `fixed` are its rows of what never changes, shape (n,)."""
        count = len(fixed)
        made = cls(dimension, max(count + 1, most))
        made._count = count
        made.fixed[:] = fixed
        for name in _MUTABLE:
            if name in state:  # snapshots of earlier versions lack `urls`
                made._arrays[name][:count] = _unpack(state[name])
        return made

    @property
    def _sketches(self) -> NDArray[np.uint8]:
        return self._arrays["sketches"][: self._count]

    def _sketch(self, points: Float32Array) -> NDArray[np.uint8]:
        """Return the signs of random projections of points, packed: shape (n, 32)."""
        return np.packbits(points.astype(np.float64) @ self._planes > 0, axis=-1)


def hash_of_url(url: str) -> int:
    """Hash a URL to 48 bits, so that differences of two hashes fit int64; the empty one to 0."""
    if not url:
        return 0
    return int.from_bytes(blake2b(url.encode(errors="surrogatepass"), digest_size=6).digest())


def _pack(numbers: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """Return the minimum, and the integers' offsets from it in the smallest unsigned dtype (frame of reference)."""
    least = int(numbers.min(initial=0))
    above = numbers.astype(np.int64) - least
    return least, above.astype(np.min_scalar_type(int(above.max(initial=0))))


def _unpack(packed: tuple[int, NDArray[Any]]) -> Int64Array:
    least, above = packed
    return above.astype(np.int64) + least

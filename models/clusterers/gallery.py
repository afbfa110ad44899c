"""The exemplars of a stream in arrays of bounded length, and the search for those that look like an image."""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from core.records import Vector
from models.clusterers.exemplars import Floats, Numbers, Points
from models.clusterers.patches import CELLS, WORDS, Codes
from models.clusterers.whitening_transform import WhiteningTransform

_SKETCH_BITS: Final = 256
_SKETCH_BYTES: Final = _SKETCH_BITS // 8
_SHORTLIST: Final = 128
"""Exemplars that the sketches let through to the exact comparison."""
_EXACT: Final = 512
"""Among no more than these, all are compared exactly."""
_SEED: Final = 2
_CHANGING: Final = ("clusters", "posts", "seen", "places", "urls")
_AT_A_TIME: Final = 4096
"""Exemplars that are placed at a time, so that their numbers in full precision take little memory."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An image that is compared with the exemplars."""

    point: NDArray[np.float16]
    """In the whitened space."""
    sketch: NDArray[np.uint8]
    codes: Codes | None
    """Of its patches, None where there are none."""


def quantised(embedding: Vector) -> tuple[NDArray[np.int8], np.float32]:
    """Round an embedding to 8 bits: the numbers, and what they are to be multiplied by."""
    scale = np.float32(max(float(np.abs(embedding).max()), 1e-30) / 127)
    return np.rint(embedding / scale).astype(np.int8), scale


@cache
def row_type(dimension: int) -> np.dtype[np.void]:
    """What of an exemplar never changes, as a record of bytes."""
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
    """Exemplars: what never changes of each in `fixed`, its cluster and its use in arrays of their own."""

    def __init__(self, dimension: int, most: int) -> None:
        """Make room for `most`; the system gives memory to rows when they are written."""
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
        self._planes: Floats = np.zeros((0, _SKETCH_BITS))
        self.space: WhiteningTransform | None = None
        """In which the exemplars are compared, None before there are some."""
        self.distinct = 0
        """Clusters that the exemplars are of, those of one image alone included."""

    def __len__(self) -> int:
        return self._count

    @property
    def fixed(self) -> NDArray[np.void]:
        """What never changes: 8-bit embedding, codes of patches, hashes of post and author."""
        return self._arrays["fixed"][: self._count]

    @property
    def clusters(self) -> Numbers:
        """The cluster of each."""
        return self._arrays["clusters"][: self._count]

    @property
    def posts(self) -> NDArray[np.int32]:
        """Posts that each stands for."""
        return self._arrays["posts"][: self._count]

    @property
    def seen(self) -> Numbers:
        """When each last stood for one."""
        return self._arrays["seen"][: self._count]

    @property
    def places(self) -> Numbers:
        """Where each stands in the log of rows."""
        return self._arrays["places"][: self._count]

    @property
    def urls(self) -> Numbers:
        """Hashes of where the image of each was (`hash_of_url`); 0 where that is not known."""
        return self._arrays["urls"][: self._count]

    @property
    def points(self) -> NDArray[np.float16]:
        """Where each lies in the whitened space: shape (n, directions)."""
        return self._arrays["points"][: self._count]

    def append(self, fixed: NDArray[np.void], cluster: int, now: int, probe: Probe | None, url: int) -> int:
        """Add one; gives its row."""
        row, self._count = self._count, self._count + 1
        self.fixed[row : row + 1] = fixed
        self.clusters[row], self.posts[row], self.seen[row], self.places[row] = cluster, 1, now, -1
        self.urls[row] = url
        if probe is not None:
            self.points[row], self._sketches[row] = probe.point, probe.sketch
        return row

    def probe(self, numbers: NDArray[np.int8], scale: np.float32, codes: Codes | None) -> Probe | None:
        """Prepare the comparison of an image with the exemplars; None where there is no space yet."""
        if self.space is None:
            return None
        point = self.space.points(numbers * scale)
        return Probe(point.astype(np.float16), self._sketched(point[None])[0], codes)

    def probe_of(self, row: int) -> Probe:
        """Prepare the comparison of an exemplar with the others."""
        codes = self.fixed["codes"][row] if self.fixed["coded"][row] else None
        return Probe(self.points[row], self._sketches[row], codes)

    def place_all(self, space: WhiteningTransform) -> None:
        """Place all exemplars in a space."""
        self.space = space
        directions = space.transform.shape[1]
        if len(self._planes) != directions:
            self._planes = np.random.default_rng(_SEED).normal(size=(directions, _SKETCH_BITS))
        self._arrays["points"] = np.zeros((self._most, directions), np.float16)
        for start in range(0, self._count, _AT_A_TIME):
            rows = self.fixed[start : min(start + _AT_A_TIME, self._count)]
            points = space.points(rows["numbers"] * rows["scale"][:, None])
            self.points[start : start + len(rows)] = points
            self._sketches[start : start + len(rows)] = self._sketched(points)

    def cosines(self, probe: Probe, rows: Numbers) -> Points:
        """Similarity of an image and some exemplars in the whitened space: shape (rows,)."""
        return self.points[rows].astype(np.float32) @ probe.point.astype(np.float32)

    def nearest(self, probe: Probe, most: int) -> tuple[Numbers, Points]:
        """The rows of up to `most` exemplars with the highest cosines, and these, the highest first."""
        if self._count <= _EXACT:
            rows = np.arange(self._count)
        else:
            faiss.omp_set_num_threads(1)  # of this thread: for one image, others would only wait for each other
            rows = faiss.knn_hamming(probe.sketch[None], self._sketches, _SHORTLIST)[1][0]
        cosines = self.cosines(probe, rows)
        first = np.argsort(-cosines, kind="stable")[:most]
        return rows[first], cosines[first]

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop all other rows."""
        rows = np.flatnonzero(kept)
        for start in range(0, len(rows), _AT_A_TIME):
            some = rows[start : start + _AT_A_TIME]
            for array in self._arrays.values():
                array[start : start + len(some)] = array[some]
        self._count = len(rows)

    def state(self) -> dict[str, Any]:
        """Plain values, without what never changes."""
        return {name: _packed(self._arrays[name][: self._count]) for name in _CHANGING}

    @classmethod
    def places_in(cls, state: dict[str, Any]) -> Numbers:
        """Where the rows of a state stand in the log."""
        return _unpacked(state["places"])

    @classmethod
    def of(cls, dimension: int, most: int, state: dict[str, Any], fixed: NDArray[np.void]) -> "ExemplarGallery":
        """From a state and what never changes."""
        count = len(fixed)
        made = cls(dimension, max(count + 1, most))
        made._count = count
        made.fixed[:] = fixed
        for name in _CHANGING:
            if name in state:  # versions before did not know addresses
                made._arrays[name][:count] = _unpacked(state[name])
        return made

    @property
    def _sketches(self) -> NDArray[np.uint8]:
        return self._arrays["sketches"][: self._count]

    def _sketched(self, points: Points) -> NDArray[np.uint8]:
        """Signs of random projections: shape (n, bytes)."""
        return np.packbits(points.astype(np.float64) @ self._planes > 0, axis=-1)


def hash_of_url(url: str) -> int:
    """Six bytes, so that differences of two are no more than 64 bits; 0 of no address."""
    if not url:
        return 0
    return int.from_bytes(blake2b(url.encode(errors="surrogatepass"), digest_size=6).digest())


def _packed(numbers: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """The least of whole numbers, and the others above it in as few bytes as they need."""
    least = int(numbers.min(initial=0))
    above = numbers.astype(np.int64) - least
    return least, above.astype(np.min_scalar_type(int(above.max(initial=0))))


def _unpacked(packed: tuple[int, NDArray[Any]]) -> Numbers:
    least, above = packed
    return above.astype(np.int64) + least

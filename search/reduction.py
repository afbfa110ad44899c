"""Fewer dimensions: a projection of unit vectors to shorter unit vectors, made once and kept as a file."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.errors import WorldError
from core.extras import needs_extra
from search.vector_index import FloatMatrix, unit

Method = Literal["pca", "trained"]


@dataclass(frozen=True, slots=True)
class Projection:
    """`unit(vectors @ weights)`: what PCA and a trained dense layer have in common.

    PCA's mean is not taken off: Euclidean distances do not notice, and the cosines to be kept are those around the
    origin of the whole space. Around the mean a tenth of the neighbours was lost in addition.
    """

    method: Method
    model: str
    """The model whose vectors it takes."""
    weights: FloatMatrix
    """Shape (dimension, dimensions)."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What is known of its making: plain values."""

    @property
    def dimensions(self) -> int:
        """Length of the shorter vectors."""
        return int(self.weights.shape[1])

    @property
    def name(self) -> str:
        """`pca-150`."""
        return f"{self.method}-{self.dimensions}"

    def __call__(self, vectors: FloatMatrix) -> FloatMatrix:
        """Shorter vectors, shape (n, dimensions), L2-normalised."""
        return unit(vectors @ self.weights)

    def save(self, folder: Path) -> None:
        """Write `NAME.safetensors` and `NAME.json`; raises `WorldError` where that cannot be."""
        told = asdict(self) | {"dimensions": self.dimensions}
        del told["weights"]
        path = folder / self.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({"weights": np.ascontiguousarray(self.weights)}, path.with_name(f"{self.name}.part"))
            path.with_name(f"{self.name}.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
            path.with_name(f"{self.name}.part").replace(path.with_name(f"{self.name}.safetensors"))
        except OSError as error:
            raise WorldError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote; raises `WorldError` naming those that are there."""
        if name not in (names := projection_names(folder)):
            there = f"there is {', '.join(names)}" if names else "there is none yet"
            raise WorldError(f"no reduction {name!r} of this corpus: {there}; `memewax corpus reduce` makes one")
        try:
            tensors = load_file(folder / f"{name}.safetensors")
            told = orjson.loads((folder / f"{name}.json").read_bytes())
            return cls(told["method"], told["model"], tensors["weights"], told["facts"])
        except (OSError, SafetensorError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise WorldError(f"{folder / name} is broken ({error}): make it anew by `memewax corpus reduce`") from None


def projection_names(folder: Path) -> list[str]:
    """The projections in a folder."""
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def pca(vectors: FloatMatrix, dimensions: int, model: str) -> Projection:
    """The directions of largest variance, by scikit-learn; raises `ValueError` where there are too few vectors."""
    with needs_extra("corpus", "the reduction of vectors"):
        from sklearn.decomposition import PCA

    if min(vectors.shape) < dimensions:
        raise ValueError(f"{dimensions} dimensions need as many vectors of as many numbers, not {vectors.shape}")
    found = PCA(dimensions, random_state=0).fit(vectors)
    kept = float(found.explained_variance_ratio_.sum())
    weights = np.ascontiguousarray(found.components_.T, np.float32)
    facts = {"rows": len(vectors), "variance_kept": kept}
    return Projection("pca", model, weights, facts)

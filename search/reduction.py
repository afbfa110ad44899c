"""Dimensionality reduction: a linear projection to shorter unit vectors, computed once and stored in a file."""

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
    """Linear projection `unit(vectors @ weights)`, by PCA or by a trained dense layer.

    PCA's mean is not subtracted: Euclidean distances are not affected, and the cosines to preserve are those around the
    origin of the full space. Subtracting the mean lost another tenth of the neighbours.
    """

    method: Method
    model: str
    """Name of the model whose vectors it projects."""
    weights: FloatMatrix
    """Shape (dimension, dimensions), float32: full to reduced."""
    facts: dict[str, Any] = field(default_factory=dict)
    """How it was made, in JSON values: rows, variance kept, epochs."""

    @property
    def dimensions(self) -> int:
        """Return the dimension of the reduced vectors."""
        return int(self.weights.shape[1])

    @property
    def name(self) -> str:
        """Return method and dimensions, such as `pca-150`."""
        return f"{self.method}-{self.dimensions}"

    def __call__(self, vectors: FloatMatrix) -> FloatMatrix:
        """Project vectors of shape (n, dimension); return shape (n, dimensions), L2-normalised.

        Examples:
            >>> drop_last = Projection("pca", "some-model", np.eye(3, 2, dtype=np.float32))
            >>> drop_last(np.array([[0, 0.6, 0.8]], np.float32))
            array([[0., 1.]], dtype=float32)
        """
        return unit(vectors @ self.weights)

    def save(self, folder: Path) -> None:
        """Write `NAME.safetensors` and `NAME.json`; raise `WorldError` if that fails."""
        metadata = asdict(self) | {"dimensions": self.dimensions}
        del metadata["weights"]
        path = folder / self.name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({"weights": np.ascontiguousarray(self.weights)}, path.with_name(f"{self.name}.part"))
            path.with_name(f"{self.name}.json").write_bytes(orjson.dumps(metadata, option=orjson.OPT_INDENT_2))
            path.with_name(f"{self.name}.part").replace(path.with_name(f"{self.name}.safetensors"))
        except OSError as error:
            raise WorldError(f"{path} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read a projection by name.

        Raises:
            WorldError: There is none of that name (the message lists the others), or its files are broken.
        """
        if name not in (names := projection_names(folder)):
            there = f"there is {', '.join(names)}" if names else "there is none yet"
            raise WorldError(f"no reduction {name!r} of this corpus: {there}; make one with `memewax corpus reduce`")
        try:
            tensors = load_file(folder / f"{name}.safetensors")
            metadata = orjson.loads((folder / f"{name}.json").read_bytes())
            return cls(metadata["method"], metadata["model"], tensors["weights"], metadata["facts"])
        except (OSError, SafetensorError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            message = f"{folder / name} is broken ({error}): make it again with `memewax corpus reduce`"
            raise WorldError(message) from None


def projection_names(folder: Path) -> list[str]:
    """List the names of the projections in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def pca(vectors: FloatMatrix, dimensions: int, model: str) -> Projection:
    """Compute a PCA projection (the directions of largest variance) with scikit-learn.

    Args:
        vectors: Shape (n, dimension), n and dimension both at least `dimensions`.
        dimensions: Dimension of the reduced vectors.
        model: Name of the model that made the vectors.

    Raises:
        ValueError: There are too few vectors, or they are too short.
    """
    with needs_extra("corpus", "the reduction of vectors"):
        from sklearn.decomposition import PCA

    if min(vectors.shape) < dimensions:
        raise ValueError(
            f"{dimensions} dimensions need at least {dimensions} vectors of at least {dimensions} numbers, "
            f"found shape {vectors.shape}"
        )
    found = PCA(dimensions, random_state=0).fit(vectors)
    kept = float(found.explained_variance_ratio_.sum())
    weights = np.ascontiguousarray(found.components_.T, np.float32)
    facts = {"rows": len(vectors), "variance_kept": kept}
    return Projection("pca", model, weights, facts)

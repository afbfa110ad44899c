"""Running mean of the embeddings of a stream, to centre each on arrival."""

from typing import Any

import numpy as np

from core.records import Vector
from models.arrays import Float64Array
from models.clusterer import check_embedding


class RunningMean:
    """The sum and number of the embeddings so far."""

    def __init__(self, total: Any = 0.0, seen: int = 0) -> None:
        """Begin with the sum of `seen` embeddings, shape (dimension,); 0.0 if there are none."""
        self.sum = total
        self.seen = seen

    @property
    def dimension(self) -> int | None:
        """Return the embedding dimension, or None before the first embedding."""
        return int(self.sum.size) if self.seen else None

    def centre(self, embedding: Vector) -> Float64Array:
        """Subtract the mean, which includes the embedding, and scale the result to length 1; learn nothing.

        Raises:
            BadRecordError: If it is not finite, or its dimension differs from that of the embeddings before.
        """
        check_embedding(embedding, self.dimension)
        # The mean of a few embeddings is mostly these themselves. So it is shrunk, less so the more there are.
        centred: Float64Array = embedding - (self.sum + embedding.astype(np.float64)) / (self.seen + 2)
        length = float(np.linalg.norm(centred))
        return centred / length if length else centred

    def add(self, embedding: Vector) -> None:
        """Add an embedding to the mean."""
        self.sum = self.sum + embedding.astype(np.float64)
        self.seen += 1

"""A sentence embedder as one ONNX graph, from token ids to unit vectors, for any engine that runs ONNX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from models.runtime import Runtime

GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
_PASS: Final = 8
"""Texts per batch. Larger batches are no faster, and every text is padded to the longest."""


class TextGraph:
    """The graph and its tokenizer, from a folder that `models.text_export` wrote."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self.engine = runtime.provider
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._session = runtime.session(folder / GRAPH)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: unit vectors, float32, shape (len(texts), dimension).

        Texts of similar length share a batch, because padding costs as much as text.
        """
        encoded = self._tokenizer.encode_batch(list(texts))
        columns = {
            "input_ids": np.array([each.ids for each in encoded], np.int64),
            "attention_mask": np.array([each.attention_mask for each in encoded], np.int64),
            "token_type_ids": np.array([each.type_ids for each in encoded], np.int64),
        }
        used = columns["attention_mask"].astype(bool)
        order = np.argsort(used.sum(axis=1), kind="stable")
        passes = [order[start : start + _PASS] for start in range(0, len(order), _PASS)]
        found = [
            self._run({name: columns[name][rows][:, used[rows].any(axis=0)] for name in self._session.inputs})
            for rows in passes
        ]
        vectors = np.empty((len(texts), found[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(found)
        return vectors

    def _run(self, tokens: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
        (vectors,) = self._session.run(tokens)
        return vectors

"""Image embeddings for the evaluation of clusterers: computed here or read from a file; and pairs to ignore."""

import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WorldError, first_line
from core.records import Failure, Features, Patches
from dataflows.all_settings import Settings
from memewax.evaluation.data import LabelledPost, image_of
from memewax.evaluation.progress_bar import Steps
from models.base import Describer, ImageEmbedder

_EMBEDDINGS: Final = "e: n x d floats, and label: n strings, empty for an image of no template"

Pair = tuple[str, str]
"""Ids of two posts, in lexical order."""


@dataclass(frozen=True, slots=True)
class EmbeddedPosts:
    """Posts with image embeddings, in order of arrival."""

    ids: tuple[str, ...]
    templates: tuple[str, ...]
    """True template of each post, "" for none."""
    vectors: NDArray[np.float32]
    """Shape (posts, dimension), L2-normalised."""
    patches: tuple[Patches | None, ...]
    images: tuple[Path | None, ...]
    """Path of each image, None if only its vector is known."""
    failures: tuple[str, ...] = ()
    """Why images could not be embedded."""

    def at(self, places: Sequence[int]) -> "EmbeddedPosts":
        """Select posts by position, in the order of `places`."""
        return EmbeddedPosts(
            ids=tuple(self.ids[it] for it in places),
            templates=tuple(self.templates[it] for it in places),
            vectors=self.vectors[list(places)],
            patches=tuple(self.patches[it] for it in places),
            images=tuple(self.images[it] for it in places),
            failures=self.failures,
        )


def embed(posts: Sequence[LabelledPost], model: ImageEmbedder, settings: Settings, steps: Steps) -> EmbeddedPosts:
    """Embed every image, with patches if the model gives them; raise `WorldError` if no image can be embedded."""
    describer = Describer(model)
    kept: list[LabelledPost] = []
    found: list[Features] = []
    failures: list[str] = []
    for start in range(0, len(posts), describer.batch_size):
        batch = posts[start : start + describer.batch_size]
        images = [image_of(known, settings) for known in batch]
        answers = iter(describer([image for image in images if not isinstance(image, Failure)]))
        for known, image in zip(batch, images, strict=True):
            answer = image if isinstance(image, Failure) else next(answers)
            if isinstance(answer, Failure):
                failures.append(answer.reason)
            else:
                kept.append(known)
                found.append(answer)
        steps.advance(len(batch))
    if not kept:
        raise WorldError(f"none of {len(posts)} images could be embedded: {'; '.join(failures[:3])}")
    return EmbeddedPosts(
        ids=tuple(known.post.global_id for known in kept),
        templates=tuple(str(known.truth) for known in kept),
        vectors=np.stack([it.embedding for it in found]).astype(np.float32),
        patches=tuple(it.patches for it in found),
        images=tuple(known.image for known in kept),
        failures=tuple(failures),
    )


def read_embeddings(path: Path, limit: int | None = None) -> EmbeddedPosts:
    """Read embeddings and labels from an .npz file.

    The file has `e`, floats of shape (n, d) in order of arrival (they are L2-normalised here); `label`, n strings,
    empty for an image of no template; and optionally `ids`, n strings (default: positions from 0).

    Args:
        path: The file.
        limit: Most vectors to return.

    Raises:
        WorldError: The file cannot be read, or does not have this form.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise WorldError(f"{path} is not an .npz file: expected {_EMBEDDINGS}")
        with np.load(path, allow_pickle=False) as opened:
            lacking = [name for name in ("e", "label") if name not in opened]
            if lacking:
                raise WorldError(f"{path} has no {' and no '.join(lacking)}: expected {_EMBEDDINGS}")
            vectors, labels = opened["e"], opened["label"]
            ids = opened["ids"] if "ids" in opened else np.arange(len(labels) if labels.ndim else 0).astype(str)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror or f'expected {_EMBEDDINGS}'}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise WorldError(f"{path} cannot be read ({first_line(error)}): expected {_EMBEDDINGS}") from None
    if vectors.ndim != 2 or not vectors.size or not np.issubdtype(vectors.dtype, np.floating):
        raise WorldError(f"{path}: e is {vectors.dtype} of shape {vectors.shape}, expected {_EMBEDDINGS}")
    for name, values in (("label", labels), ("ids", ids)):
        if values.shape != vectors.shape[:1] or values.dtype.kind != "U":
            form = f"{values.dtype} of shape {values.shape}"
            raise WorldError(f"{path}: {name} is {form}, expected a string for each of {len(vectors)} rows of e")
    vectors = vectors[:limit].astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if broken.size:
        raise WorldError(f"{path}: row {broken[0]} of e has a value that is not finite")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return EmbeddedPosts(
        ids=tuple(ids[:limit].tolist()),
        templates=tuple(labels[:limit].tolist()),
        vectors=(vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32),
        patches=(None,) * len(vectors),
        images=(None,) * len(vectors),
    )


def read_pairs(path: Path) -> frozenset[Pair]:
    """Read pairs of ids from a tab-separated file, one pair per line; raise `WorldError` if a line is not a pair."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WorldError(f"{path} is not UTF-8 text") from None
    pairs = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        ids = [it.strip() for it in line.split("\t")]
        if len(ids) != 2 or not all(ids):
            raise WorldError(f"{path}, line {number}: expected two ids separated by a tab, found {line[:80]!r}")
        pairs.add((min(ids), max(ids)))
    return frozenset(pairs)


def places_of(pairs: Collection[Pair], ids: Sequence[str]) -> NDArray[np.intp]:
    """Convert pairs of ids to positions in `ids`: shape (pairs, 2); pairs with an unknown id are left out."""
    places = {name: place for place, name in enumerate(ids)}
    found = [
        (places[one], places[other])
        for one, other in sorted(pairs)
        if one in places and other in places and one != other
    ]
    return np.array(found, np.intp).reshape(-1, 2)

"""The public API: open a store, search it, read its clusters, run the models over images, build the flow.

The commands stand on the same parts. Importing this module is cheap; models are loaded by the first call that needs
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bytewax.dataflow import Dataflow

from connectors.endpoints import open_store as _open_store
from core.errors import BadRecordError, SettingsError, WorldError
from core.launch import Launch
from core.records import Entity, Failure, Pixels, Reading, Sentiment, Vector
from dataflows.all_settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa

    from connectors.store.interface import Store
    from models.loading import Models
    from search.cluster_summaries import ClusterSummary
    from search.corpus import Hit
    from search.store_searcher import StoreSearcher

ImageLike = bytes | str | Path | Pixels
"""An image: the bytes of its file, the path of its file, or its pixels (uint8, shape (height, width, 3), RGB)."""

_POSTS: Final = "posts"


class MemeStore:
    """A store that a flow fills, open for reading; what the flow writes in between is seen by the next call.

    Not safe for several threads. Every method raises `memewax.MemewaxError` with one line that says what to do.
    """

    def __init__(self, store: "Store", settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._searches: dict[bool, StoreSearcher] = {}

    @property
    def address(self) -> str:
        """The folder or address of the store."""
        return self._store.address

    def posts(self, columns: Sequence[str] = (), limit: int | None = None) -> "pa.Table":
        """Read posts as an Arrow table, in no order; `.to_pandas()` makes a data frame.

        Args:
            columns: Names of columns (docs/record.md lists them); all but vectors where none is named.
            limit: Maximum number of rows; None reads all.

        Raises:
            SettingsError: if the store lacks one of the columns.
            WorldError: if there is no store.
        """
        import pyarrow as pa

        table = self._store.table(_POSTS)
        known = {it.name: it for it in table.schema}
        if missing := [name for name in columns if name not in known]:
            raise SettingsError(f"{self.address} has no column {missing[0]!r}; it has {', '.join(known)}")
        plain = [name for name, it in known.items() if not pa.types.is_fixed_size_list(it.type)]
        return table.to_arrow(list(columns) or plain, limit=limit)

    def post(self, global_id: str) -> dict[str, Any] | None:
        """Return all columns of one post; None if the store does not have it."""
        table = self._store.table(_POSTS)
        rows: list[dict[str, Any]] = table.rows([global_id], table.schema.names).to_pylist()
        return rows[0] if rows else None

    def clusters(self, hours: float = 24.0) -> "list[ClusterSummary]":
        """Summarise all clusters that have posts, the largest first.

        Args:
            hours: Length of the window for `recent`, `rate` and `trend`, back from the newest post.
        """
        from search.cluster_summaries import summaries

        return summaries(self._store, timedelta(hours=hours))

    def cluster(self, cluster: int, hours: float = 24.0) -> "ClusterSummary | None":
        """Summarise one cluster by its id, or by an id that was merged into it; None if it has no posts."""
        from search.cluster_summaries import summary_of

        return summary_of(self._store, cluster, timedelta(hours=hours))

    def exemplars(self, cluster: "ClusterSummary") -> list[dict[str, Any]]:
        """Return the few most typical posts of a cluster, each with `global_id` and `url`."""
        from search.cluster_summaries import exemplars

        return exemplars(self._store, (cluster.cluster, *cluster.merged))

    def search(self, sentence: str, k: int = 10, *, corpus: str | None = None, **filters: str) -> "list[Hit]":
        """Find the posts nearest to a sentence, by words (BM25) and meaning (cosine), the best first.

        Args:
            sentence: What to look for.
            k: Maximum number of hits, 1 to 100.
            corpus: Searches another corpus than the posts.
            filters: `source`, `after`, `before` (ISO 8601) and `language`.

        Raises:
            SettingsError: if a filter or `k` is wrong.
            WorldError: if there is no store, or a model that embeds the sentence cannot be loaded.
        """
        return self._search({"text": sentence, "corpus": corpus}, k, filters, images=False)

    def search_image(self, image: ImageLike, k: int = 10, **filters: str) -> "list[Hit]":
        """Find the posts whose images look most like an image, the best first.

        Args:
            image: The image to compare with.
            k: Maximum number of hits, 1 to 100.
            filters: As for `search`.

        Raises:
            SettingsError: if a filter or `k` is wrong.
            WorldError: if there is no store, or the image cannot be read.
        """
        return self._search({"image": _file_bytes(image)}, k, filters, images=True)

    def sql(self, query: str, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Run one SELECT (DuckDB's dialect) over the tables posts, clusters and answers; needs the extra `sql`.

        Args:
            query: The statement; it reaches no file and no network.
            seconds: Time limit.

        Raises:
            SettingsError: if it is not one SELECT, or names what does not exist.
            WorldError: if the store cannot be read, or the query takes too long.
        """
        from search.sql import run_query

        with run_query(self._store, query, seconds) as found:
            return [dict(zip(found.columns, row, strict=True)) for row in found.rows]

    def _search(self, wanted: Mapping[str, Any], k: int, filters: Mapping[str, str], *, images: bool) -> "list[Hit]":
        from search.query import query_of
        from search.store_searcher import StoreSearcher

        try:
            query = query_of({"id": uuid4().hex, "k": k, "filters": filters, **wanted}, self._settings.corpus)
        except BadRecordError as bad:
            raise SettingsError(str(bad)) from None
        if images not in self._searches:
            self._searches[images] = StoreSearcher(self._store, self._settings, self._settings, images=images)
        answer = self._searches[images].answer(query)
        if answer.error is not None:
            raise WorldError(answer.error.reason)
        return list(answer.hits)


def open_store(address: str | Path, **settings: Any) -> MemeStore:
    """Open a store for reading.

    Args:
        address: A folder, or an address such as `s3://BUCKET/PATH` or `cassandra://HOST:PORT/KEYSPACE`.
        settings: Settings by name (`memewax settings` lists them), as `index="exact"`; they win over `MEMEWAX_*`.

    Raises:
        SettingsError: if the address or a setting is wrong.
    """
    from connectors.store.store_folder import store_below

    loaded = load_settings(**settings)
    place = address if isinstance(address, str) and "://" in address else store_below(Path(address))
    return MemeStore(_open_store(place, loaded, loaded.state_dir), loaded)


@dataclass(frozen=True, slots=True)
class ImageAnalysis:
    """What the models found in one image; what failed is None and has its reason in `failures`."""

    embedding: Vector | None = None
    """Image embedding (float32, shape (dimension,), L2-normalised)."""
    reading: Reading | None = None
    """Lines of text with their boxes, by OCR; `reading.as_read` is the text."""
    entities: tuple[Entity, ...] | None = None
    """Named entities in the text."""
    sentiment: Sentiment | None = None
    """Sentiment of the text."""
    text_embedding: Vector | None = None
    """Sentence embedding of the text (float32, shape (dimension,), L2-normalised); None if there is no text."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Reasons by stage."""


class Analyzer:
    """Runs the models of the flow over images, without a flow.

    Loads them once, which takes some seconds and about 1 GB.

    Args:
        settings: Settings by name, as `device="cpu"` or `models="fake"`; they win over `MEMEWAX_*`.

    Raises:
        SettingsError: if a setting is wrong.
        WeightsError: if weights are missing or not what was pinned.
    """

    def __init__(self, **settings: Any) -> None:
        from models.loading import load_models

        self._settings = load_settings(**settings)
        self._models: Models = load_models(self._settings)

    @property
    def model_names(self) -> Mapping[str, str]:
        """The name of the model of each stage."""
        return self._models.names

    def __call__(self, images: Sequence[ImageLike]) -> list[ImageAnalysis]:
        """Analyse images in batches; one result for each, in order. Raises nothing for a bad image."""
        pixels = [self._pixels(it) for it in images]
        good = [it for it in pixels if not isinstance(it, Failure)]
        texts = self._models.ocr(good)
        read = [it.as_read for it in texts if isinstance(it, Reading)]
        spoken = [it for it in read if it.strip()]
        streams: dict[str, Iterator[Any]] = {
            "embedding": iter(self._models.image(good)),
            "text": iter(texts),
            "entities": iter(self._models.entities(read)),
            "sentiment": iter(self._models.sentiment(read)),
            "text_embedding": iter(self._models.text(spoken)),
        }
        return [
            ImageAnalysis(failures={it.stage: it.reason}) if isinstance(it, Failure) else _analysis(streams)
            for it in pixels
        ]

    def _pixels(self, image: ImageLike) -> Pixels | Failure:
        from connectors.fetching.decode import decode

        if not isinstance(image, bytes | str | Path):
            return image
        try:
            data = _file_bytes(image)
            return decode(data, max_pixels=self._settings.fetch_max_pixels, max_side=self._settings.fetch_max_side)
        except Exception as error:  # decoders raise many kinds
            return Failure.of("fetch", error)


def _analysis(streams: Mapping[str, Iterator[Any]]) -> ImageAnalysis:
    found: dict[str, Any] = {"embedding": next(streams["embedding"]), "text": next(streams["text"])}
    if isinstance(found["text"], Reading):
        found["entities"], found["sentiment"] = next(streams["entities"]), next(streams["sentiment"])
        if found["text"].as_read.strip():
            found["text_embedding"] = next(streams["text_embedding"])
    failures = {stage: it.reason for stage, it in found.items() if isinstance(it, Failure)}
    good = {stage: it for stage, it in found.items() if stage not in failures}
    return ImageAnalysis(
        good.get("embedding"),
        good.get("text"),
        good.get("entities"),
        good.get("sentiment"),
        good.get("text_embedding"),
        failures,
    )


def build_flow(source: str | Path, to: str | Path | Sequence[str | Path], **settings: Any) -> Dataflow:
    """Build the flow from posts to records, to run with `bytewax.run.cli_main` or `bytewax.testing.run_main`.

    Loads the models, and locks the files that the flow writes for as long as this process lives.

    Args:
        source: Address that posts come from (docs/endpoints.md).
        to: Address or addresses that records go to.
        settings: Further settings by name; they win over `MEMEWAX_*`.

    Raises:
        SettingsError: if an address or a setting is wrong.
        BusyError: if another flow writes one of the files.
        WorldError: if a store cannot be read or written.
    """
    from connectors.writer_locks import keep_locked
    from dataflows.memes import memes
    from dataflows.starting import check_and_lock_files, continued
    from models.loading import load_models

    sinks = [str(it) for it in ([to] if isinstance(to, str | Path) else to)]
    loaded = load_settings(source=[str(source)], to=sinks, **settings)
    keep_locked(check_and_lock_files(loaded), Launch(), environ)
    return continued(memes, loaded, load_models(loaded), loaded.recovery)


def _file_bytes(image: ImageLike) -> bytes:
    """Return the bytes of an image's file; pixels become a PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise WorldError(f"{image}: {error.strerror}") from None
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()

"""The input of a flow: posts with prefetched images, dead letters and removals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from bytewax.dataflow import Dataflow, Stream, operator

from connectors.chosen_endpoints import folders_of, source_of, sources_of
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.fetch import FakeFetcher, Fetcher, Fetching, Limits
from connectors.fetching.prefetch import ParsedItem
from connectors.fetching.web import WebLimits
from connectors.sources.load_shedding import LoadShedder
from connectors.sources.sampled import Sampled
from connectors.sources.source import Source
from connectors.sources.split_messages import SplitMessages, read_to
from core.records import Arrival, DeadLetter, Failure, Post, Removal
from operators.item_memory import NOTHING, ItemMemory
from operators.operator_settings import InputSettings
from operators.prefetching_source import PrefetchingSource
from operators.recovered import states_of
from operators.scheduling import OpenParts
from operators.steps import read, split


@dataclass(frozen=True, slots=True)
class ParsedStreams:
    """Parsed messages by kind."""

    oks: Stream[Arrival]
    """Valid posts, with their images or the reason for their absence."""
    errs: Stream[DeadLetter]
    """Messages that are not posts."""
    removals: Stream[Removal]
    """Deletes, and accounts that hide or show their posts."""


@dataclass(frozen=True, slots=True)
class PostsIn(ParsedStreams):
    """The parsed input of a flow."""

    parts: OpenParts
    """The open source partitions of this process."""


@operator
def posts_in(
    step_id: str,
    flow: Dataflow,
    settings: InputSettings,
    fetcher: Fetching,
    forgotten: Callable[[], Sequence[Removal]] = tuple,
) -> PostsIn:
    """Read posts from the source of the settings, and prefetch their images.

    Args:
        step_id: Name of the step.
        flow: The flow.
        settings: Settings of the input.
        fetcher: Fetches the images.
        forgotten: Returns removals of posts whose image must not be retried.
    """
    parts = OpenParts()
    states = states_of(settings.recovery, f"{flow.flow_id}.{step_id.rpartition('.')[2]}.input")
    known = {part: read_to(state["position"]) for part, state in states.items()}
    posts: Source = SplitMessages(source_of(settings, known), settings.read_batch)
    kept = LoadShedder(settings.sample, settings.max_lag_seconds if settings.overload == "sample" else None)
    source = PrefetchingSource(
        Sampled(posts, kept) if settings.sample < 1 or settings.overload == "sample" else posts,
        fetcher,
        max_posts=settings.fetch_ahead_posts,
        max_bytes=settings.fetch_ahead_bytes,
        tries=settings.retry_tries,
        wait_seconds=settings.retry_wait_seconds,
        parts=parts,
        kept=kept,
        with_deletes=settings.deletes == "follow",
        forgotten=forgotten,
    )
    found = split_by_kind(read("input", flow, source))
    return PostsIn(found.oks, found.errs, found.removals, parts)


def split_by_kind(items: Stream[ParsedItem]) -> ParsedStreams:
    """Split items into posts, dead letters and removals."""
    either = split("valid", items, lambda item: isinstance(item, Arrival))
    others = split("removal", either.falses, lambda item: isinstance(item, Removal))
    return ParsedStreams(
        cast("Stream[Arrival]", either.trues),
        cast("Stream[DeadLetter]", others.falses),
        cast("Stream[Removal]", others.trues),
    )


class Unfetched:
    """A fetcher that fetches nothing, for flows that only pass posts on."""

    _NONE: Final = Failure("fetch", "NotAsked", "this flow fetches no images")

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        """Return all posts without images."""
        return [Arrival(post, self._NONE) for post in posts]


def fetching(settings: InputSettings, memory: ItemMemory = NOTHING, thumbnail_side: int = 0) -> Fetching:
    """Make the fetcher that the settings choose; raises `SettingsError` if they are invalid."""
    return FakeFetcher() if settings.models == "fake" else fetcher(settings, memory, thumbnail_side)


def fetcher(settings: InputSettings, memory: ItemMemory = NOTHING, thumbnail_side: int = 0) -> Fetcher:
    """Make a fetcher with the limits of the settings; local paths are limited to the folder of each source.

    Raises:
        SettingsError: if a setting or an address is invalid.
    """
    web = WebLimits(
        concurrency=settings.fetch_concurrency,
        bytes=settings.fetch_max_bytes,
        seconds=settings.fetch_timeout_seconds,
        connect_seconds=settings.fetch_connect_seconds,
        read_seconds=settings.fetch_read_seconds,
        tries=settings.fetch_tries,
    )
    limits = Limits(
        web=web,
        per_host=settings.fetch_per_host,
        pixels=settings.fetch_max_pixels,
        side=settings.fetch_max_side,
        thumbnail_side=thumbnail_side,
    )
    sources = sources_of(settings) if settings.source else ()
    named = [host for it in sources for host in it.image_hosts]
    allowed = AddressPolicy.of((*settings.fetch_allow, *named))
    folders = folders_of(settings.source)
    return Fetcher(limits, settings.fetch_folder, allowed, folders, memory.deaths, memory.cached)

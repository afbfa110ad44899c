"""Frozen records that flow through memewax, from the raw message to the joined record.

Failures are values. Each stage emits exactly one stage result per post, either a value or a `Failure`, so that the
join completes for every post and a dead letter is a second output instead of a missing record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.times import time_or_none
from core.untrusted_text import LONGEST_REASON, shortened

Pixels = NDArray[np.uint8]
"""A decoded image: shape (height, width, 3), RGB, upright."""

Vector = NDArray[np.float32]
"""An embedding: shape (dimension,), L2-normalised."""

Patches = NDArray[np.int8]
"""Patch features of an image: shape (8, 8, dimension), int8, all multiplied by one common scale factor."""

V = TypeVar("V")

NO_EMBEDDING: Final = -1
"""Cluster id of a post whose image has no embedding (as in the first version of this system)."""
CLUSTER_FAILED: Final = -2
"""Cluster id of a post on which the clusterer failed."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a source read it, kept whole because it may become a dead letter."""

    value: bytes
    origin: str
    """Where it was read: `file:/data/posts.jsonl@1234` (byte offset), `kafka:posts/0@17` (partition, offset)."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    content: str = ""
    """Hash by which a service identifies the content of the image; comparable only within that source."""


@dataclass(frozen=True, slots=True)
class Post:
    """A valid post. `global_id` is its key in every stage and store."""

    global_id: str
    url: str
    message: Message
    author: str = ""
    created_time: str = ""
    description: str = ""
    score: int = 0
    source: str = ""
    ingestion_time: datetime | None = None
    """When ingest saw the post (UTC, aware); None if the message has no such time."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the message that memewax does not interpret; they are passed through."""
    edited: datetime | None = None
    """When the post was last edited (UTC, aware); None if the message has no such time."""
    post_id: str = ""
    """Id of a whole post with several images, each of which is a `Post`; empty: same as `global_id`."""
    trace: str = ""
    """W3C trace context; empty if traces are off."""
    picture_sha256: str = ""
    """SHA-256 (hexadecimal) of the fetched image file; empty before the fetch, or if there is no file."""

    @property
    def whole_id(self) -> str:
        """Return the id of the whole post, the same for each of its images."""
        return self.post_id or self.global_id

    @property
    def account(self) -> str:
        """Return the author's account as `AUTHOR@SOURCE`; empty if the message names no author."""
        return account_of(self.author, self.source)

    @property
    def changed(self) -> datetime | None:
        """Return when the post was written or last edited; None if the message does not say."""
        return self.edited or time_or_none(self.created_time)


@dataclass(frozen=True, slots=True)
class Removal:
    """A delete, or the hiding of an account. It names its posts by any field that is not empty.

    A post that was written or edited after `time` counts as a new post and stays.
    """

    message: Message
    global_id: str = ""
    """Names one image."""
    post_id: str = ""
    """Names a post with all of its images."""
    url: str = ""
    """Names all images at this URL."""
    author: str = ""
    """With `source`: names an account, and so all of its posts."""
    source: str = ""
    hidden: bool | None = None
    """For an account: True hides its posts, False shows them again; None: the posts are deleted for good."""
    kept: tuple[str, ...] = ()
    """For a post: the `global_id` of each image that it still has."""
    time: datetime | None = None
    """Time of the removal; None: it applies whenever the post was written."""

    @property
    def account(self) -> str:
        """Return the account that is named, as `AUTHOR@SOURCE`; empty if none is."""
        return account_of(self.author, self.source)

    def names(self, post: Post) -> bool:
        """Check whether the removal names this post, and the post is not newer than the removal."""
        if post.global_id in self.kept:
            return False
        ours = (self.global_id, self.post_id, self.url, self.account)
        its = (post.global_id, post.whole_id, post.url, post.account)
        is_named = any(name and name == other for name, other in zip(ours, its, strict=True))
        return is_named and not is_later(post.changed, self.time)


def account_of(author: str, source: str) -> str:
    """Format an account as `AUTHOR@SOURCE`; empty if there is no author."""
    return f"{author}@{source}" if author else ""


def is_later(changed: datetime | None, time: datetime | None) -> bool:
    """Check whether a post changed after `time`; False if either time is unknown."""
    return changed is not None and time is not None and changed > time


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage has no result for a post."""

    stage: str
    exception: str
    """Name of the exception class."""
    reason: str
    """Truncated if long: it may quote untrusted text."""
    may_pass: bool = False
    """Whether a later retry may succeed."""

    def __post_init__(self) -> None:
        if len(self.reason) > LONGEST_REASON:
            object.__setattr__(self, "reason", shortened(self.reason))

    @classmethod
    def of(cls, stage: str, error: BaseException) -> "Failure":
        """Describe `error`, raised in `stage`."""
        name = type(error).__name__
        # Escape what is not valid UTF-8, such as some file names: no sink could write it.
        return cls(stage, name, str(error).encode(errors="backslashreplace").decode() or name)


@dataclass(frozen=True, slots=True)
class Features:
    """The features that an image model extracts from an image."""

    embedding: Vector
    patches: Patches | None = None
    """None if the model has no patches, or too few."""
    fingerprint: bytes | None = None
    """Perceptual hash for near-duplicate search; None if not requested, or if the image is too small."""


@dataclass(frozen=True, slots=True)
class CachedImage:
    """Cached facts about an image that need no model."""

    width: int
    """In pixels, at the size that the models saw."""
    height: int
    thumbnail: bytes | None = None
    """WebP."""


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A stage's value from the cache, which need not be computed again."""

    value: Any
    model: str = ""
    """Name of the model that computed it."""
    seconds: float = 0.0
    """Time that the computation took."""
    kind: str = ""
    """How it was found: `exact` (same bytes or text), `source` (a service's content id), `near` (near-duplicate).

    Empty: not from the cache."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A post with its decoded image, or with the reason why it has none."""

    post: Post
    image: Pixels | Failure | None
    """None if the models have already seen the image and only the post continues."""
    seconds: float = 0.0
    """Time to fetch and decode the image."""
    ticket: int = 0
    """Identifies this arrival of the post among others; its stage results carry the same ticket."""
    tries: int = 0
    """Retries so far for this message: 0 unless its image was fetched again."""
    thumbnail: bytes | None = None
    """WebP; None if not requested."""
    width: int = 0
    """In pixels; 0 if there is no image."""
    height: int = 0
    cached: Mapping[str, CachedResult] = field(default_factory=dict)
    """Cached results of this image by stage; then `image` is None, since no model needs it."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The thumbnail of a post's image."""

    post: Post
    webp: bytes
    width: int = 0
    """Width in pixels of the image that the models saw, in which OCR boxes are measured; 0: unknown."""
    height: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be processed, unchanged, with the stage and the reason."""

    message: Message
    stage: str
    exception: str
    reason: str
    """Truncated if long: it may quote untrusted text."""
    global_id: str | None = None
    trace: str = ""
    """W3C trace context of the post; empty if the message is not a post, or traces are off."""

    def __post_init__(self) -> None:
        if len(self.reason) > LONGEST_REASON:
            object.__setattr__(self, "reason", shortened(self.reason))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text in an image."""

    text: str
    confidence: float
    """0 to 1."""
    box: tuple[tuple[float, float], ...]
    """Four corners (x, y) in pixels of the decoded image, clockwise from the top left."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The OCR result of an image; no lines is a valid result, not an error."""

    lines: tuple[Line, ...] = ()
    unread: str = ""
    """Why some of the text was not read; empty if all was read."""

    @property
    def as_read(self) -> str:
        """Return the recognised lines, separated by newlines."""
        return "\n".join(line.text for line in self.lines)

    @property
    def text(self) -> str:
        """Return the lower-cased lines, each followed by ". ": the form of the text column since the first version."""
        return "".join(f"{line.text.lower()}. " for line in self.lines)


@dataclass(frozen=True, slots=True)
class Entity:
    """A named entity: `text[start:end]` of the text as read."""

    text: str
    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentiment:
    """Shares of negative, neutral and positive (0 to 1, summing to 1) and the compound score (-1 to 1)."""

    negative: float
    neutral: float
    positive: float
    compound: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of an image, and its distance from the centre (0: at the centre)."""

    id: int
    distance: float
    duplicate_of: str | None = None
    """Id of the post whose image this one duplicates; None if it is not a duplicate."""


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """A change of a cluster; cluster ids are never reused.

    A cluster is born with its second post, merges with another, is split, retires when it fades, or is revived.
    """

    kind: Literal["birth", "merge", "split", "retire", "revive"]
    cluster: int
    into: int | None = None
    """For a merge: the surviving id. For a split: the new cluster, to which `posts` move."""
    posts: tuple[str, ...] = ()
    """For a split: ids of the posts that move."""


@dataclass(frozen=True, slots=True)
class StageResult(Generic[V]):
    """The result of one stage for one post."""

    global_id: str
    stage: str
    value: V | Failure | None
    """None if the stage had nothing to process, which is not a failure."""
    seconds: float = 0.0
    """The post's share of the processing time of its batch."""
    model: str = ""
    fingerprint: bytes | None = None
    """For an embedding: perceptual hash for near-duplicate search; None if there is none."""
    caption: str = ""
    """For OCR text: the text that accompanies the image, for the sentence embedding."""
    ticket: int = 0
    """Ticket of the `Arrival` that it belongs to."""
    patches: Patches | None = None
    """For an embedding: patch features of the image; None if the model has none."""
    author: str = ""
    """For an embedding: the account that posted it, `AUTHOR@SOURCE`."""
    url: str = ""
    """For an embedding: URL of the image."""
    post_id: str = ""
    """For an embedding: id of the whole post, which may have several images."""
    changed: datetime | None = None
    """For an embedding: when the post was written or last edited."""
    edited: datetime | None = None
    """For an embedding: when the post was last edited; its image may have been replaced then."""
    trace: str = ""
    """W3C trace context of the post; empty if traces are off."""
    cached: str = ""
    """How a cached value was found (`CachedResult.kind`); empty if it was computed."""
    names: tuple[bytes, ...] = ()
    """For a text: hashed names under which a removal finds its cache entries."""


@dataclass(frozen=True, slots=True)
class Record:
    """A joined post: its stage results, and the stages without one (`missing`, empty when complete)."""

    post: Post
    results: Mapping[str, StageResult[Any]]
    missing: tuple[str, ...] = ()
    fetch_seconds: float = 0.0
    late: tuple[str, ...] = ()
    """Stages whose results came after the deadline; if there are any, this record replaces a partial one."""
    revision: int = 1
    """Number of this output of the post, counted from 1."""

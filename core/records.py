"""What flows: frozen records, from the raw message to the joined record.

A failure is a value here. Each side of the fork answers for every post exactly once, with a result or with `Failure`,
so that the join completes for every post and a dead letter is a second output rather than a hole.
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
"""What an image model says of the patches of an image: shape (8, 8, dimension), one number for all to be scaled by."""

V = TypeVar("V")

NO_EMBEDDING: Final = -1
"""Cluster of a post whose image has no embedding (as in the first version of this system)."""
CLUSTER_FAILED: Final = -2
"""Cluster of a post on which the clusterer failed."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a source read it, kept whole for the dead letter it may become."""

    value: bytes
    origin: str
    """Where it was read: `file:/data/posts.jsonl@1234` (byte offset), `kafka:posts/0@17` (partition, offset)."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    content: str = ""
    """What a service itself calls the content of the post's image, a hash of it; said by its own source alone."""


@dataclass(frozen=True, slots=True)
class Post:
    """A valid post. `global_id` is the key of everything."""

    global_id: str
    url: str
    message: Message
    author: str = ""
    created_time: str = ""
    description: str = ""
    score: int = 0
    source: str = ""
    ingestion_time: datetime | None = None
    """When ingest saw it (UTC, aware); None where the message does not say."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that memewax does not know, carried along."""
    edited: datetime | None = None
    """When it was edited last (UTC, aware); None where the message does not say."""
    post_id: str = ""
    """Of a post with several images, each of which is a `Post`: what it is called as a whole; empty: `global_id`."""
    trace: str = ""
    """The W3C context of its trace; empty where traces are off."""
    picture_sha256: str = ""
    """Of the file that its image was fetched as, in hexadecimal; empty before that, and where there is none."""

    @property
    def whole_id(self) -> str:
        """The id of the post as a whole, whichever of its images this is."""
        return self.post_id or self.global_id

    @property
    def account(self) -> str:
        """Who posted it, with the source; empty where the message does not say."""
        return account_of(self.author, self.source)

    @property
    def changed(self) -> datetime | None:
        """When it was written or edited last; None where the message does not say."""
        return self.edited or time_or_none(self.created_time)


@dataclass(frozen=True, slots=True)
class Removal:
    """What an author took back, by what it is called; what is empty names nothing.

    A post that was written or edited after `time` is another one, and stays.
    """

    message: Message
    global_id: str = ""
    """Of one image."""
    post_id: str = ""
    """Of a post with all of its images."""
    url: str = ""
    """Of images."""
    author: str = ""
    """With `source`: an account, and so all of its posts."""
    source: str = ""
    hidden: bool | None = None
    """Of an account: whether it hides its posts or shows them again; None: what is named is gone for good."""
    kept: tuple[str, ...] = ()
    """Of a post: what it still has, each by its `global_id`."""
    time: datetime | None = None
    """None: whenever a post was written."""

    @property
    def account(self) -> str:
        """The account that it names, with the source; empty where it names none."""
        return account_of(self.author, self.source)

    def names(self, post: Post) -> bool:
        """Whether a post is what it names, and not a later one."""
        if post.global_id in self.kept:
            return False
        ours = (self.global_id, self.post_id, self.url, self.account)
        its = (post.global_id, post.whole_id, post.url, post.account)
        is_named = any(name and name == other for name, other in zip(ours, its, strict=True))
        return is_named and not is_later(post.changed, self.time)


def account_of(author: str, source: str) -> str:
    """An account as one name; empty where there is no author."""
    return f"{author}@{source}" if author else ""


def is_later(changed: datetime | None, time: datetime | None) -> bool:
    """Whether a post was written or edited after what is said of the time before; not so where nothing is said."""
    return changed is not None and time is not None and changed > time


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a stage has no result for a post."""

    stage: str
    exception: str
    """Name of the exception's class."""
    reason: str
    """Shortened where it is long: it may quote what a stranger wrote."""
    may_pass: bool = False
    """Whether it may end otherwise some time later."""

    def __post_init__(self) -> None:
        if len(self.reason) > LONGEST_REASON:
            object.__setattr__(self, "reason", shortened(self.reason))

    @classmethod
    def of(cls, stage: str, error: BaseException) -> "Failure":
        """Describe `error`, raised in `stage`."""
        name = type(error).__name__
        # What is not UTF-8, a file's name for instance, could be written nowhere.
        return cls(stage, name, str(error).encode(errors="backslashreplace").decode() or name)


@dataclass(frozen=True, slots=True)
class Features:
    """What an image model says of an image."""

    embedding: Vector
    patches: Patches | None = None
    """None where the model has no patches, or too few."""
    fingerprint: bytes | None = None
    """What the image looks like from afar, for the search for copies; None where nobody asked, or it is too small."""


@dataclass(frozen=True, slots=True)
class CachedImage:
    """What is known of an image without any model."""

    width: int
    """Pixels, as the models saw it."""
    height: int
    thumbnail: bytes | None = None
    """The image made small, as WebP."""


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A result that need not be computed again."""

    value: Any
    model: str = ""
    """Name of the model that it is of."""
    seconds: float = 0.0
    """What it took."""
    kind: str = ""
    """How it was found: `exact`, by the same bytes or text; `source`, by a service's name for it; `near`, as a copy.

    Empty: it was not."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A post with its image, or with the reason why there is none."""

    post: Post
    image: Pixels | Failure | None
    """None where the models have looked at it and only the post goes on."""
    seconds: float = 0.0
    """Time to fetch and decode the image."""
    ticket: int = 0
    """Tells one coming of a post from its others: its sides have the same."""
    tries: int = 0
    """How often it came before in this reading of its message: 0 unless its image was fetched again."""
    thumbnail: bytes | None = None
    """The image made small, as WebP; None where none was asked for."""
    width: int = 0
    """Pixels of the image; 0 where there is none."""
    height: int = 0
    cached: Mapping[str, CachedResult] = field(default_factory=dict)
    """By stage what was found out of the same image before; then `image` is None, since nobody need look at it."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The image of a post, made small."""

    post: Post
    webp: bytes
    width: int = 0
    """Pixels of the image that the models saw; the boxes of what was read are within these. 0: not known."""
    height: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, whole as it was read, with what went wrong with it."""

    message: Message
    stage: str
    exception: str
    reason: str
    """Shortened where it is long: it may quote what a stranger wrote."""
    global_id: str | None = None
    trace: str = ""
    """Of the post; empty where it is none, or traces are off."""

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
    """What OCR read in an image; no lines is a result, not an error."""

    lines: tuple[Line, ...] = ()
    unread: str = ""
    """Why some of the writing was not read; empty where all was."""

    @property
    def as_read(self) -> str:
        """The lines as they were read, one a line."""
        return "\n".join(line.text for line in self.lines)

    @property
    def text(self) -> str:
        """Lower-cased lines joined by ". ", each ending so: the text column's form since the first version."""
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
    """The cluster that an image fell into and its distance from the centre (0: at the centre)."""

    id: int
    distance: float
    duplicate_of: str | None = None
    """The post whose image this one is a copy of, where it is one."""


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """What became of a cluster; its id is never given to another.

    It was born with its second post, turned out to be the same as another, was split, faded away, or came back.
    """

    kind: Literal["birth", "merge", "split", "retire", "revive"]
    cluster: int
    into: int | None = None
    """Of a merge: the cluster under whose id both go on. Of a split: the new one, to which `posts` move."""
    posts: tuple[str, ...] = ()
    """Of a split: ids of the posts that move."""


@dataclass(frozen=True, slots=True)
class StageResult(Generic[V]):
    """One stage's answer for one post."""

    global_id: str
    stage: str
    value: V | Failure | None
    """None where there was nothing to answer, which is no failure."""
    seconds: float = 0.0
    """The post's share of the time that its batch took."""
    model: str = ""
    fingerprint: bytes | None = None
    """Of an embedding: what the image looks like from afar, for the search for copies; None where there is none."""
    caption: str = ""
    """Of a text: what stands beside the image, for the sentence embedding."""
    ticket: int = 0
    """Of the arrival that it answers for."""
    patches: Patches | None = None
    """Of an embedding: what the image model says of the image's patches; None where it says nothing."""
    author: str = ""
    """Of an embedding: who posted it, with the source."""
    url: str = ""
    """Of an embedding: where the image was."""
    post_id: str = ""
    """Of an embedding: the post as a whole, of which it may be one of several images."""
    changed: datetime | None = None
    """Of an embedding: when its post was written or edited last."""
    edited: datetime | None = None
    """Of an embedding: when its post was edited last, so that its image may be another one."""
    trace: str = ""
    """Of the post; empty where traces are off."""
    cached: str = ""
    """How the answer was found where nothing was computed: `CachedResult.kind`."""
    names: tuple[bytes, ...] = ()
    """Of a text: what is known of it is forgotten by these."""


@dataclass(frozen=True, slots=True)
class Record:
    """A joined post: what each side answered, and which sides did not (`missing`, empty when complete)."""

    post: Post
    sides: Mapping[str, StageResult[Any]]
    missing: tuple[str, ...] = ()
    fetch_seconds: float = 0.0
    late: tuple[str, ...] = ()
    """Sides that came after the deadline; where there are any, this record replaces a partial one."""
    revision: int = 1
    """How often the post has gone out, this time included."""

"""The figures of a demo run: plain values, for tables, the page and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoPosts:
    """How many records came out."""

    expected: int
    joined: int
    complete: int
    """Those that every side answered for, if only with a failure."""
    lost: tuple[str, ...]
    """`global_id` of each expected post that did not come out."""
    repeated: int
    """Lines that say again what another line said, and must count once."""


@dataclass(frozen=True, slots=True)
class Ocr:
    """How well captions were read, case and punctuation folded."""

    posts: int
    """Images with a caption."""
    characters: int
    character_error_rate: float
    word_error_rate: float
    perfect: int
    """Captions without one wrong character."""
    textless: int
    textless_empty: int
    """Images with nothing written on them in which nothing was read."""


@dataclass(frozen=True, slots=True)
class Template:
    """Where the posts of one template went."""

    template: str
    clusters: tuple[int, ...]
    """The cluster of each post, the most frequent first."""

    @property
    def main(self) -> int:
        """The cluster that most of them are in."""
        return self.clusters[0]

    @property
    def share(self) -> float:
        """The part of the posts that are there, 0 to 1."""
        return self.clusters.count(self.main) / len(self.clusters)


@dataclass(frozen=True, slots=True)
class Clusters:
    """Templates against clusters."""

    templates: tuple[Template, ...]
    clusters: int
    v_measure: float
    """0 to 1, the harmonic mean of the two that follow."""
    homogeneity: float
    """1 where each cluster holds one template only."""
    completeness: float
    """1 where each template is in one cluster."""


@dataclass(frozen=True, slots=True)
class Entities:
    """Named entities expected and found."""

    expected: int
    found: int
    labelled: int
    """Found with the expected label."""
    reported: int
    """All that were reported, expected or not."""
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moods:
    """Sentiment expected and found; rows are what was expected, columns what was found."""

    expected: int
    agreed: int
    found: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and which of the broken posts it answers for (empty: none of them)."""

    kind: str
    stage: str
    exception: str
    reason: str
    global_id: str | None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Broken posts against dead letters."""

    expected: int
    found: int
    """Broken posts that became a dead letter."""
    missed: tuple[str, ...]
    """Kinds of those that did not."""
    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class DemoStage:
    """What one stage did."""

    stage: str
    posts: int
    failures: int
    seconds_each: float
    """Mean over the posts it answered for."""
    model: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A caption as it was drawn and as it was read."""

    global_id: str
    template: str
    drawn: str
    read: str
    error_rate: float


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """Everything there is to say about a run of the demo."""

    posts: DemoPosts
    ocr: Ocr
    clusters: Clusters
    entities: Entities
    moods: Moods
    dead_letters: DeadLetters
    stages: tuple[DemoStage, ...]
    samples: tuple[Sample, ...]
    seconds: float | None = None
    """How long the flow took."""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)

"""Figures of a demo run, for tables, the page and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoPosts:
    """Counts of posts and records."""

    expected: int
    joined: int
    complete: int
    """Records with a result of every stage, failures included."""
    lost: tuple[str, ...]
    """`global_id` of each expected post without a record."""
    repeated: int
    """Duplicate lines, which must be deduplicated."""


@dataclass(frozen=True, slots=True)
class Ocr:
    """Figures of OCR; case and punctuation are ignored."""

    posts: int
    """Images with text."""
    characters: int
    character_error_rate: float
    word_error_rate: float
    perfect: int
    """Texts read without an error."""
    textless: int
    """Images without text."""
    textless_empty: int
    """Images without text in which none was read."""


@dataclass(frozen=True, slots=True)
class Template:
    """The clusters of one template's posts."""

    template: str
    clusters: tuple[int, ...]
    """The cluster of each post, the most frequent first."""

    @property
    def main(self) -> int:
        """Return the cluster with the most posts of the template."""
        return self.clusters[0]

    @property
    def share(self) -> float:
        """Return the share of the template's posts that are in the main cluster, 0 to 1."""
        return self.clusters.count(self.main) / len(self.clusters)


@dataclass(frozen=True, slots=True)
class Clusters:
    """Figures of clustering: clusters against templates."""

    templates: tuple[Template, ...]
    clusters: int
    v_measure: float
    """Harmonic mean of homogeneity and completeness, 0 to 1."""
    homogeneity: float
    """1 if each cluster has posts of one template only."""
    completeness: float
    """1 if all posts of each template are in one cluster."""


@dataclass(frozen=True, slots=True)
class Entities:
    """Counts of named entities."""

    expected: int
    found: int
    """Expected ones that were reported."""
    labelled: int
    """Found with the expected label."""
    reported: int
    """All reported ones, expected or not."""
    missed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moods:
    """Figures of sentiment."""

    expected: int
    agreed: int
    found: Mapping[str, Mapping[str, int]]
    """Confusion matrix: expected mood, then found mood."""


@dataclass(frozen=True, slots=True)
class DemoDeadLetter:
    """A dead letter."""

    kind: str
    """Kind of the broken post that it is from; empty if it is from none of them."""
    stage: str
    exception: str
    reason: str
    global_id: str | None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Figures of dead letters: broken posts against dead letters."""

    expected: int
    found: int
    """Broken posts that became a dead letter."""
    missed: tuple[str, ...]
    """Kinds of broken posts without a dead letter."""
    letters: tuple[DemoDeadLetter, ...]


@dataclass(frozen=True, slots=True)
class DemoStage:
    """Figures of a stage."""

    stage: str
    posts: int
    failures: int
    seconds_each: float
    """Mean time per post."""
    model: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A text as drawn and as read."""

    global_id: str
    template: str
    drawn: str
    read: str
    error_rate: float
    """Character error rate, 0 and up."""


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """Summary of a demo run."""

    posts: DemoPosts
    ocr: Ocr
    clusters: Clusters
    entities: Entities
    moods: Moods
    dead_letters: DeadLetters
    stages: tuple[DemoStage, ...]
    samples: tuple[Sample, ...]
    seconds: float | None = None
    """Duration of the flow."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)

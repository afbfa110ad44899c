"""View models of the demo page: posts, clusters and dead letters, ready for the HTML template."""

from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memewax.demo.demo_figures import DemoDeadLetter, Sample
from memewax.demo.photographs import PHOTOGRAPHS
from memewax.demo.report import ReportRow, match, mood
from memewax.demo.truth import PostTruth, Truth
from memewax.pages.showing import Word, compared, thumbnail

_SHOWS: Final = {photograph.template: photograph.shows for photograph in PHOTOGRAPHS}


@dataclass(frozen=True, slots=True)
class Chip:
    """A named entity; `state` is `found`, `missed` or `extra`."""

    text: str
    label: str
    state: str


@dataclass(frozen=True, slots=True)
class Card:
    """A post on the page."""

    row: ReportRow
    truth: PostTruth | None
    image: str | None
    """Data URI, or None if the image cannot be shown."""
    alt: str
    lines: tuple[tuple[Word, ...], ...]
    """Text as read, compared with what was drawn."""
    drawn: tuple[tuple[Word, ...], ...]
    """Text as drawn, compared with what was read."""
    chips: tuple[Chip, ...]
    mood: str | None
    sample: Sample | None


@dataclass(frozen=True, slots=True)
class CardGroup:
    """The posts of a cluster."""

    cluster: int
    cards: tuple[Card, ...]
    template: str
    """Most frequent template."""
    members: int
    """Posts of that template."""


@dataclass(frozen=True, slots=True)
class DeadLetterCard:
    """A dead letter on the page."""

    dead_letter: DemoDeadLetter
    origin: str
    value: str
    """Its bytes as text, with invalid bytes replaced."""


def groups(rows: Iterable[ReportRow], truth: Truth, samples: Iterable[Sample], folder: Path) -> list[CardGroup]:
    """Group posts by cluster, the largest first and those without a cluster last; urls are relative to `folder`."""
    by_id = {sample.global_id: sample for sample in samples}
    by_cluster: dict[int, list[Card]] = defaultdict(list)
    for row in {row["global_id"]: row for row in rows}.values():
        cluster = max(int(row["cluster"]), -1)
        by_cluster[cluster].append(_card(row, truth.posts.get(row["global_id"]), by_id.get(row["global_id"]), folder))
    found = [_group(cluster, cards) for cluster, cards in by_cluster.items()]
    return sorted(found, key=lambda group: (group.cluster < 0, -len(group.cards), group.cluster))


def dead_letter_cards(rows: Iterable[ReportRow], dead_letters: Iterable[DemoDeadLetter]) -> list[DeadLetterCard]:
    """Make the cards of dead letters from their rows and, in the same order, their summaries."""
    return [
        DeadLetterCard(it, Path(row.get("origin") or "").name, b64decode(row["value"]).decode(errors="replace"))
        for row, it in zip(rows, dead_letters, strict=True)
    ]


def _group(cluster: int, cards: list[Card]) -> CardGroup:
    templates = Counter(card.truth.template for card in cards if card.truth)
    template, members = templates.most_common(1)[0] if templates else ("", 0)
    cards.sort(key=lambda card: (card.truth.template if card.truth else "", card.row["global_id"]))
    return CardGroup(cluster, tuple(cards), template, members)


def _card(row: ReportRow, truth: PostTruth | None, sample: Sample | None, folder: Path) -> Card:
    read = row.get("text_as_read") or ""
    shows = _SHOWS.get(truth.template, truth.template) if truth else f"post {row['global_id']}"
    alt = f"{shows}, captioned: {' '.join(truth.text.split())}" if truth and truth.text else shows
    return Card(
        row=row,
        truth=truth,
        image=_image(folder, row["url"]),
        alt=alt[:1].upper() + alt[1:],
        lines=compared(sample.drawn if sample else read, read),
        drawn=compared(read, sample.drawn) if sample else (),
        chips=_chips(row, truth),
        mood=mood(row) if read else None,
        sample=sample,
    )


def _image(folder: Path, url: str) -> str | None:
    """Return the image as a data URI. A post may name any path; only images inside `folder` go into the page."""
    path = (folder / url).resolve()
    return thumbnail(path) if path.is_relative_to(folder.resolve()) else None


def _chips(row: ReportRow, truth: PostTruth | None) -> tuple[Chip, ...]:
    reported: list[Mapping[str, Any]] = list(row.get("entities") or ())
    matched = match(truth, row) if truth else []
    found = [entity for _, _, entity in matched if entity is not None]
    chips = [
        Chip(entity["text"], entity["label"], "extra" if truth and entity not in found else "found")
        for entity in reported
    ]
    chips += [Chip(text, label, "missed") for text, label, entity in matched if entity is None]
    return tuple(chips)

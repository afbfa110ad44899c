"""The demo's summary as a self-contained HTML page, with images, styles and texts inline."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memewax.demo.cards import dead_letter_cards, groups
from memewax.demo.demo_figures import DemoSummary
from memewax.demo.photographs import PHOTOGRAPHS
from memewax.demo.report import ReportRow
from memewax.demo.truth import Truth
from memewax.pages.showing import templates

_GOLDEN_ANGLE: Final = 137.5
"""Degrees between the hues of consecutive clusters, so that they differ for any number of clusters."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure of the page."""

    label: str
    figure: str
    detail: str
    share: float
    """Share of the expected results that was found, 0 to 1."""


def write_page(
    path: Path,
    summary: DemoSummary,
    *,
    rows: Iterable[ReportRow],
    dead_letters: Iterable[ReportRow],
    truth: Truth,
    folder: Path,
) -> Path:
    """Write the page: posts by cluster, the text read in them, and the dead letters.

    All text is escaped, and a content security policy in the page forbids scripts and requests.

    Args:
        path: The file.
        summary: Summary of `rows`, `dead_letters` and `truth`.
        rows: Records.
        dead_letters: Dead letters.
        truth: Labels of the posts.
        folder: Folder that the urls of the rows are relative to.

    Returns:
        The path.
    """
    found = groups(rows, truth, summary.samples, folder)
    html = (
        templates("memewax.demo")
        .get_template("page.html")
        .render(
            summary=summary,
            tiles=tiles(summary),
            groups=found,
            hues={group.cluster: round(place * _GOLDEN_ANGLE) % 360 for place, group in enumerate(found)},
            dead_letters=dead_letter_cards(dead_letters, summary.dead_letters.letters),
            photographs=PHOTOGRAPHS,
        )
    )
    path.write_text(html, encoding="utf-8")
    return path


def tiles(summary: DemoSummary) -> list[Tile]:
    """Return the headline figures of the page."""
    posts, ocr, clusters = summary.posts, summary.ocr, summary.clusters
    entities, moods, dead_letters = summary.entities, summary.moods, summary.dead_letters
    return [
        Tile(
            "Posts joined",
            f"{posts.joined} of {posts.expected}",
            f"{posts.complete} complete",
            _share(posts.joined, posts.expected),
        ),
        Tile(
            "Characters read right",
            f"{max(0.0, 1 - ocr.character_error_rate):.1%}",
            f"error rate {ocr.character_error_rate:.1%}, of words {ocr.word_error_rate:.1%}; "
            f"{ocr.perfect} of {ocr.posts} captions without a mistake",
            max(0.0, 1 - ocr.character_error_rate),
        ),
        Tile(
            "Clusters, V-measure",
            f"{clusters.v_measure:.2f}",
            f"{clusters.clusters} clusters for {len(clusters.templates)} templates",
            clusters.v_measure,
        ),
        Tile(
            "Entities found",
            f"{entities.found} of {entities.expected}",
            f"{entities.labelled} with the right label; {entities.reported} reported",
            _share(entities.found, entities.expected),
        ),
        Tile(
            "Sentiment agrees",
            f"{moods.agreed} of {moods.expected}",
            "with a reader's label of the caption",
            _share(moods.agreed, moods.expected),
        ),
        Tile(
            "Dead letters",
            f"{dead_letters.found} of {dead_letters.expected}",
            "broken posts, each with its reason",
            _share(dead_letters.found, dead_letters.expected),
        ),
    ]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
